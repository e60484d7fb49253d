"""What a pull request changes, said for a reviewer: promises, data, parameters, packages."""

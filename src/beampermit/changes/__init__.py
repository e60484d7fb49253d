"""What a pull request changes: contract, metrics, data, parameters, packages. Data only; documents show it."""

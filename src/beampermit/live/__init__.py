"""A promoted model in service: `beampermit serve`. What it shows is true, or says that it is not."""

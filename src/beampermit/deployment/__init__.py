"""What a laboratory needs to run the service: files made from the contract, and whether they still say what it says."""

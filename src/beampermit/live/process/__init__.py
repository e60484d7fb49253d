"""The process that holds the model: started, asked, watched, and started again. Nothing that it sends is believed."""

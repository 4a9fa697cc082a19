"""What every process is made of: its life from signal to exit, its health endpoint, its metrics, its connections."""

"""All that is said to the Docker Engine API."""

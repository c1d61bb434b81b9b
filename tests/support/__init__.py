"""What several test modules share: a raw client, started servers, and comparison with a real peer."""

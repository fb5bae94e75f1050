// The reference client.

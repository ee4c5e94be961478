"""HTTP, WebSocket and gRPC over a home's snapshots."""

"""The consortium's services: the ledger writer's hub, the followers' books, and witnessing."""

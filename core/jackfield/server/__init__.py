"""The Litestar rail protocols mount on: settings, guards, limits, errors, uploads, health, metrics."""

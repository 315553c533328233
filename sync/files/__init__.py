"""Files of one entity, in and out: NDJSON, JSON or CSV of any size, in constant memory."""

"""Files of one entity, in and out: NDJSON, JSON or CSV of any size, in constant memory."""

from pieces.models import LEVELS

ENTITIES = {model.plural: model for model in LEVELS}

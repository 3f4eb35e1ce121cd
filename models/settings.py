"""What settings are made of: frozen, refusing unknown keys, each value with its bounds where it is declared."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """Values that are declared once: as a section of params.yaml, and as what a training or a method is given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def changed(self, **values: Any) -> Self:
        """Return a copy with other values, checked as the first were."""
        return type(self)(**(self.model_dump() | values))

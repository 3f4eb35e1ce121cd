"""What every section of params.yaml is made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A frozen section of params.yaml that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

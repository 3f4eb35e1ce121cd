"""Exact per-image injection of public faces: every row of a batch has its own donor and its own weight.

The stock route repeats the donors' embeddings by the batch size and mixes identities, and its scale is one number
per adapter. Here the decoupled cross-attention of IP-Adapter (Ye et al. 2023, eq. 5) is computed per row:
attention(Q, K, V) + weight * attention(Q, K_ip, V_ip), and since it is linear in V_ip, the weight folds into V_ip
once per condition, at no cost per step.
"""

from threading import get_ident

from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import ImageProjection
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class InjectedAttnProcessor(nn.Module):
    """Cross-attention to the text plus, where a condition is set, to each row's own image tokens.

    A condition is the thread's that set it, so that threads may share one UNet.
    """

    def __init__(self, hidden_size: int, cross_attention_dim: int):
        super().__init__()
        self.to_k_ip = nn.Linear(cross_attention_dim, hidden_size, bias=False)
        self.to_v_ip = nn.Linear(cross_attention_dim, hidden_size, bias=False)
        self._conditions: dict[int, tuple[Tensor, Tensor]] = {}  # K_ip and weight * V_ip by thread

    def condition(self, tokens: Float[Tensor, "b n d"], weights: Float[Tensor, " b"]) -> None:
        """Keep K_ip and weight * V_ip of every row until the next condition."""
        value = self.to_v_ip(tokens) * weights.to(tokens.dtype)[:, None, None]
        self._conditions[get_ident()] = (self.to_k_ip(tokens), value)

    def clear(self) -> None:
        """Forget the condition: plain cross-attention to the text."""
        self._conditions.pop(get_ident(), None)

    def forward(
        self,
        attn: Attention,
        hidden_states: Float[Tensor, "b l c"],
        encoder_hidden_states: Float[Tensor, "b t d"] | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Float[Tensor, "b l c"]:
        """Attend to the text and to the row's image tokens, sum, project."""
        query = _heads(attn.to_q(hidden_states), attn.heads)
        text = encoder_hidden_states if encoder_hidden_states is not None else hidden_states
        key, value = _heads(attn.to_k(text), attn.heads), _heads(attn.to_v(text), attn.heads)
        output = scaled_dot_product_attention(query, key, value, attn_mask=attention_mask)
        if condition := self._conditions.get(get_ident()):
            if len(condition[0]) != len(hidden_states):
                raise ValueError(
                    f"condition: {len(condition[0])} rows for a batch of {len(hidden_states)}; "
                    "set one donor and one weight per row, guidance rows included"
                )
            key, value = (_heads(part, attn.heads) for part in condition)
            output = output + scaled_dot_product_attention(query, key.to(query.dtype), value.to(query.dtype))
        output = output.transpose(1, 2).flatten(2).to(query.dtype)
        return attn.to_out[1](attn.to_out[0](output))


def _heads(x: Float[Tensor, "b l c"], heads: int) -> Float[Tensor, "b h l e"]:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


class Injection(nn.Module):
    """The image projection and the processors of one IP-Adapter, attached to one UNet."""

    def __init__(self, projection: ImageProjection, processors: list[InjectedAttnProcessor]):
        super().__init__()
        self.projection = projection
        self.processors = nn.ModuleList(processors)

    def condition(self, image_embeds: Float[Tensor, "b d"], weights: Float[Tensor, " b"]) -> None:
        """Set each row's donor and weight; a row of weight 0 is exactly the un-injected result."""
        tokens = self.projection(image_embeds)
        for processor in self.processors:
            processor.condition(tokens, weights)

    def clear(self) -> None:
        """Remove the condition from every layer."""
        for processor in self.processors:
            processor.clear()

    def state_dict_diffusers(self) -> dict[str, Tensor]:
        """Return the tensors under the keys that diffusers' `load_ip_adapter` reads."""
        state = {f"image_proj.proj.{k}": v for k, v in self.projection.image_embeds.state_dict().items()}
        state |= {f"image_proj.norm.{k}": v for k, v in self.projection.norm.state_dict().items()}
        for i, processor in enumerate(self.processors):
            state |= {f"ip_adapter.{2 * i + 1}.{k}": v for k, v in processor.state_dict().items()}
        return state

    def load_state_dict_diffusers(self, state: dict[str, Tensor]) -> None:
        """Load tensors kept under diffusers' keys; raises RuntimeError on a missing or misshapen one."""
        self.projection.image_embeds.load_state_dict(_below(state, "image_proj.proj."))
        self.projection.norm.load_state_dict(_below(state, "image_proj.norm."))
        for i, processor in enumerate(self.processors):
            processor.load_state_dict(_below(state, f"ip_adapter.{2 * i + 1}."))


def _below(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def attach(
    unet: UNet2DConditionModel, embed_dim: int, num_tokens: int = 4, state: dict[str, Tensor] | None = None
) -> Injection:
    """Replace every cross-attention processor of `unet`, in diffusers' order; load `state` (diffusers' keys) if given.

    `embed_dim` is the width of the image encoder's `image_embeds`.
    """
    text_dim = unet.config["cross_attention_dim"]
    processors: dict[str, nn.Module] = dict(unet.attn_processors)
    injected: list[InjectedAttnProcessor] = []
    for name in processors:
        if name.endswith("attn2.processor"):
            attn = unet.get_submodule(name.removesuffix(".processor"))
            if attn.residual_connection or attn.rescale_output_factor != 1.0 or attn.group_norm is not None:
                raise ValueError(f"{name}: attention with its own residual or norm is not supported")
            injected.append(InjectedAttnProcessor(attn.to_q.out_features, text_dim))
            processors[name] = injected[-1]
    unet.set_attn_processor(processors)
    projection = ImageProjection(
        image_embed_dim=embed_dim, cross_attention_dim=text_dim, num_image_text_embeds=num_tokens
    )
    injection = Injection(projection, injected).to(unet.device)
    if state is not None:
        injection.load_state_dict_diffusers(state)
    return injection

"""Records how transformers changes logits before it samples, for settings of `GenerationConfig`.

Needs torch and transformers (requirements.txt in this folder). Run from the root of the repository:
    python scripts/dev/golden/sampling.py
Writes toolcall_lib/tests/golden/sampling.json: the logits, the tokens seen, and for each setting the remaining scores.
"""

import json
import math
from pathlib import Path

import torch
import transformers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, LogitsProcessorList

VOCABULARY = 64
SETTINGS = [
    {},
    {"repetition_penalty": 1.3},
    {"do_sample": True, "temperature": 0.7, "top_k": 0},
    {"do_sample": True, "temperature": 1.0, "top_k": 5},
    {"do_sample": True, "temperature": 2.5, "top_k": 0, "top_p": 0.8},
    {"do_sample": True, "temperature": 1.0, "top_k": 0, "min_p": 0.1},
    {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95},
    {"do_sample": True, "temperature": 1.4, "top_k": 12, "top_p": 0.9, "min_p": 0.05, "repetition_penalty": 1.2},
    {"do_sample": True},
]


def main():
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    model = LlamaForCausalLM(config)
    logits = (torch.randn(VOCABULARY) * 1.5).round(decimals=2)
    logits[7] = logits[3]  # a tie
    seen = torch.tensor([[1, 5, 9, 5, 30]])
    cases = []
    for settings in SETTINGS:
        given = GenerationConfig(**settings)
        given, _ = model._prepare_generation_config(given)
        model._prepare_special_tokens(given, kwargs_has_attention_mask=True, device="cpu")
        processors = model._get_logits_processor(
            given, input_ids_seq_length=5, encoder_input_ids=seen, logits_processor=LogitsProcessorList(), device="cpu"
        )
        scores = processors(seen, logits.clone()[None])[0].tolist()
        cases.append({"settings": settings, "scores": [None if math.isinf(x) else x for x in scores]})
    out = Path(__file__).parents[3] / "toolcall_lib/tests/golden/sampling.json"
    made = {
        "made by": f"scripts/dev/golden/sampling.py with transformers {transformers.__version__}",
        "logits": logits.tolist(),
        "seen": seen[0].tolist(),
        "cases": cases,
    }
    out.write_text(json.dumps(made, indent=1) + "\n")


main()

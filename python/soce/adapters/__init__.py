"""LoRA adapters of PEFT: read strictly, souped exactly."""

//! Model types that tie their embeddings where `config.json` does not say: libraries leave out what is the default.

/// In order. As of transformers 5.24.0: types with a language model or another head over tokens whose configuration class
/// has `tie_word_embeddings` true, each looked up by making one.
#[rustfmt::skip]
const MODEL_TYPES: &[&str] = &[
    "albert", "aya_vision", "bart", "bert", "bert-generation", "big_bird", "bigbird_pegasus", "biogpt",
    "blenderbot", "blenderbot-small", "blip", "bloom", "camembert", "canary", "cohere", "cohere2",
    "cohere2_moe", "cohere2_vision", "cohere_compass_text", "convbert", "cpmant", "ctrl", "data2vec-text",
    "deberta", "deberta-v2", "deepseek_vl", "deepseek_vl_hybrid", "diffusion_gemma", "distilbert", "electra",
    "ernie", "ernie4_5", "ernie4_5_moe", "ernie4_5_vl_moe", "esm", "falcon", "falcon_mamba", "flaubert",
    "florence2", "fnet", "fun_asr_nano", "funnel", "gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n",
    "gemma3n_text", "gemma4", "gemma4_text", "gemma4_unified", "gemma4_unified_assistant",
    "gemma4_unified_text", "glmasr", "got_ocr2", "gpt-sw3", "gpt2", "gpt_bigcode", "gpt_neo",
    "gpt_neox_japanese", "granite_docling", "granite_speech", "granite_speech_plus", "granite_swa", "gte",
    "hunyuan_vl", "hyperclovax_vision_v2", "ibert", "internvl", "janus", "jetmoe", "jina_embeddings_v3",
    "kimi_k25", "kosmos-2", "kosmos-2.5", "lara_mini", "layoutlm", "led", "lfm2", "lfm2_moe", "lfm2_vl",
    "lfm3", "lfm3_vl", "lighton_ocr", "longformer", "longt5", "luke", "m2m_100", "mamba", "marian", "mbart",
    "megatron-bert", "minicpm3", "minicpm_ocr", "mistral3", "mobilebert", "modernbert", "modernbert-decoder",
    "moonshine", "moss_transcribe_diarize", "mpnet", "mpt", "mra", "mt5", "mvp", "neomme", "nllb-moe",
    "nomic_bert", "nystromformer", "openai-gpt", "opt", "ovis2", "paddleocr_vl", "paligemma", "pegasus",
    "pegasus_x", "plbart", "pop2piano", "pp_chart2table", "prophetnet", "qwen3_asr", "recurrent_gemma",
    "roberta", "roberta-prelayernorm", "roc_bert", "roformer", "seamless_m4t", "seamless_m4t_v2",
    "shieldgemma2", "smollm3", "speech_to_text", "speecht5", "squeezebert", "starcoder2",
    "switch_transformers", "t5", "t5gemma", "t5gemma2", "tapas", "trocr", "udop", "umt5", "vaultgemma",
    "voxtral_realtime", "whisper", "xglm", "xlm", "xlm-roberta", "xlm-roberta-xl", "xlnet", "xmod", "yoso",
    "youtu", "zamba", "zamba2", "zaya",
];

/// Whether a model of this type ties its embeddings if its config says nothing.
pub(super) fn ties(model_type: &str) -> bool {
    MODEL_TYPES.binary_search(&model_type).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{MODEL_TYPES, ties};

    #[test]
    fn types_are_found_by_their_whole_name() {
        assert!(MODEL_TYPES.is_sorted());
        for name in
            ["gemma", "gemma2", "gemma3_text", "cohere", "gpt2", "t5", "opt", "bert", "zaya", "albert"]
        {
            assert!(ties(name), "{name}");
        }
        for name in ["llama", "mistral", "qwen2", "gpt_neox", "Gemma", ""] {
            assert!(!ties(name), "{name}");
        }
    }
}

//! Patterns on tensor names: `*` is any run of characters, `?` any one, everything else itself.

/// Whether `pattern` matches the whole of `name`. Takes at most `pattern × name` steps, whatever the pattern.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern.chars(), name.chars());
    // Where to go back to: the pattern behind the last star, and the name one character further than last time.
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let here = name.clone();
        match (pattern.next(), name.next()) {
            (Some('*'), _) => {
                name = here.clone();
                retry = Some((pattern.clone(), here));
            }
            (None, None) => return true,
            (Some(p), Some(n)) if p == '?' || p == n => {}
            _ => {
                let Some((after_star, mut from)) = retry else { return false };
                if from.next().is_none() {
                    return false;
                }
                pattern = after_star.clone();
                name = from.clone();
                retry = Some((after_star, from));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_and_question_marks_match_runs_and_single_characters() {
        let check = |pattern: &str, name: &str, expected: bool| {
            assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
        };
        check("*", "", true);
        check("*", "model.norm.weight", true);
        check("", "", true);
        check("", "a", false);
        check("model.layers.?.mlp.*", "model.layers.1.mlp.up_proj.weight", true);
        check("model.layers.?.mlp.*", "model.layers.11.mlp.up_proj.weight", false);
        check("*.weight", "a.weight.weight", true);
        check("*.weight", "a.weight.bias", false);
        check("a*b*c", "aXbYbZc", true);
        check("a*b*c", "aXbYbZ", false);
        check("?", "é", true);
        check("?", "", false);
        check("[ab].w", "a.w", false);
        check("**a", "ba", true);
    }

    #[test]
    fn many_stars_do_not_explode() {
        assert!(!matches(&"*a".repeat(200), &"a".repeat(199)));
        assert!(!matches(&format!("{}b", "*a".repeat(50)), &"a".repeat(4096)));
    }
}

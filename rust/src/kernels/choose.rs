//! Which kernel set is used: the fastest that this CPU runs, unless somebody asks for another.

use std::borrow::Cow;
use std::ffi::OsStr;

use super::set::Kernels;
use super::sets;
use crate::error::{Problem, ProblemKind, Result};
use crate::escape::shown;

/// The environment variable that names a set where the caller names none.
const VARIABLE: &str = "SOCE_KERNELS";
/// What the fastest set is called where a name is asked for.
const FASTEST: &str = "auto";

impl Kernels {
    /// Every set this CPU runs, slowest first.
    pub fn available() -> Vec<&'static Self> {
        sets::available()
    }

    /// The set called `name`, else the one that the environment variable `SOCE_KERNELS` names, else the fastest. The
    /// fastest may also be asked for by name: `auto`.
    ///
    /// # Errors
    /// This CPU lacks the named set, or there is none of that name.
    pub fn choose(name: Option<&str>) -> Result<&'static Self> {
        Self::choose_from(name, std::env::var_os(VARIABLE).as_deref())
    }

    fn choose_from(name: Option<&str>, environment: Option<&OsStr>) -> Result<&'static Self> {
        let available = Self::available();
        let (name, place) = match (name, environment.map(OsStr::to_string_lossy)) {
            (Some(name), _) => (Cow::Borrowed(name), String::new()),
            (None, Some(name)) if !name.is_empty() => (name, format!("`{VARIABLE}`: ")),
            _ => (Cow::Borrowed(FASTEST), String::new()),
        };
        let found = match name.as_ref() {
            FASTEST => available.last(),
            name => available.iter().find(|set| set.name == name),
        };
        found.copied().ok_or_else(|| {
            let names: Vec<_> = available.iter().map(|set| set.name).collect();
            let message = format!("{place}no kernel set `{}` on this CPU", shown(&name));
            let hint = format!("available: {FASTEST}, {}", names.join(", "));
            Problem::new(ProblemKind::Recipe, message).hint(hint).into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(name: Option<&str>, environment: Option<&str>) -> Result<&'static str> {
        Kernels::choose_from(name, environment.map(OsStr::new)).map(|set| set.name)
    }

    #[test]
    fn the_environment_names_the_set_where_the_caller_does_not() {
        let fastest = Kernels::available().last().expect("there is a scalar set").name;
        for (name, environment, expected) in [
            (None, None, fastest),
            (None, Some(""), fastest),
            (None, Some("auto"), fastest),
            (None, Some("scalar"), "scalar"),
            (Some("scalar"), Some("unknown"), "scalar"),
            (Some("auto"), Some("scalar"), fastest),
        ] {
            assert_eq!(chosen(name, environment).expect("a set"), expected, "{name:?} {environment:?}");
        }
    }

    #[test]
    fn a_set_that_is_not_there_is_refused_with_those_that_are() {
        let missing = if cfg!(target_arch = "x86_64") { "neon" } else { "avx2" };
        for (name, environment) in [(None, Some(missing)), (Some("sse9"), None), (Some(""), Some("scalar"))] {
            let error = chosen(name, environment).expect_err("there is no such set").to_string();
            assert!(error.contains("available: auto, scalar"), "{error}");
            assert_eq!(error.contains(VARIABLE), name.is_none(), "{error}");
        }
    }
}

//! Which row of each recipe a tensor takes: the first whose pattern matches.

use crate::error::{Problem, ProblemKind};
use crate::escape::{quoted, shown};
use crate::glob;

use super::remarks::Remarks;
use super::{Recipe, Row};

/// For each of `tensors`, name and shape, in order one row index per recipe. A tensor without a row is a problem, and one
/// that its row is not for; a row without a tensor is a warning.
pub(super) fn assign(
    recipes: &[Recipe],
    tensors: &[(&str, &[u64])],
    remarks: &mut Remarks,
) -> Vec<Vec<usize>> {
    let mut assigned = vec![Vec::with_capacity(recipes.len()); tensors.len()];
    for recipe in recipes {
        let mut taken = vec![false; recipe.rows.len()];
        let (mut unmatched, mut misfits) = (Vec::new(), Vec::new());
        for ((name, shape), rows) in tensors.iter().zip(&mut assigned) {
            match recipe.rows.iter().position(|row| glob::matches(&row.pattern, name)) {
                Some(row) => {
                    taken[row] = true;
                    rows.push(row);
                    let misfit = recipe.rows[row].mixture.misfit(shape);
                    misfits.extend(misfit.map(|misfit| {
                        let message = format!("row `{}`: {misfit}", shown(&recipe.rows[row].pattern));
                        Problem::new(ProblemKind::Recipe, message).at(&recipe.output).tensor(*name)
                    }));
                }
                None => unmatched.push(
                    Problem::new(ProblemKind::Recipe, "no row of the recipe matches")
                        .at(&recipe.output)
                        .tensor(*name)
                        .hint("end the recipe with a row whose pattern is `*`"),
                ),
            }
        }
        remarks.tensors(&recipe.output, unmatched, "tensors match no row of the recipe");
        remarks.tensors(&recipe.output, misfits, "tensors have another number of filters than their row");
        for (row, _) in recipe.rows.iter().zip(&taken).filter(|(_, taken)| !**taken) {
            remarks.warn(unused(recipe, row, tensors));
        }
    }
    assigned
}

fn unused(recipe: &Recipe, row: &Row, tensors: &[(&str, &[u64])]) -> String {
    let (output, pattern) = (quoted(&recipe.output), shown(&row.pattern));
    if tensors.iter().any(|(name, _)| glob::matches(&row.pattern, name)) {
        format!("{output}: row `{pattern}` is never reached: earlier rows take every tensor it matches")
    } else {
        format!("{output}: row `{pattern}` matches no tensor that is averaged")
    }
}

#[cfg(test)]
mod tests {
    use super::assign;
    use crate::mix::Mix;
    use crate::plan::remarks::Remarks;
    use crate::plan::{Recipe, Row};

    fn check(patterns: &[&str], names: &[&str]) -> (Vec<Vec<usize>>, Remarks) {
        let mix = Mix::average(&[1, 1]).unwrap();
        let rows =
            patterns.iter().map(|p| Row { pattern: (*p).into(), mixture: mix.clone().into() }).collect();
        let mut remarks = Remarks::default();
        let tensors: Vec<(&str, &[u64])> = names.iter().map(|name| (*name, [2].as_slice())).collect();
        let assigned = assign(&[Recipe { rows, output: "out".into() }], &tensors, &mut remarks);
        (assigned, remarks)
    }

    #[test]
    fn the_first_matching_row_wins() {
        let (assigned, remarks) = check(&["a.*", "*"], &["a.x", "b.a.x"]);
        assert_eq!(assigned, [[0], [1]]);
        assert!(remarks.problems.is_empty() && remarks.warnings.is_empty());
    }

    #[test]
    fn a_tensor_without_a_row_is_a_problem() {
        let (_, remarks) = check(&["a.*"], &["a.x", "b"]);
        assert_eq!(remarks.problems[0].to_string(), "`out`: tensor `b`: no row of the recipe matches");
    }

    #[test]
    fn rows_that_take_nothing_are_warned_about() {
        let (_, remarks) = check(&["*", "a.*", "c\u{1b}"], &["a.x"]);
        assert_eq!(
            remarks.warnings,
            [
                "`out`: row `a.*` is never reached: earlier rows take every tensor it matches",
                "`out`: row `c\\u{1b}` matches no tensor that is averaged",
            ]
        );
    }
}

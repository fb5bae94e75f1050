//! Least squares with coefficients that cannot be negative, for a handful of columns: a cost below zero would be no cost.

/// Most columns: all their subsets are tried.
pub(super) const MOST_COLUMNS: usize = 10;

/// The x >= 0 with the least |A x - wanted|, A given by its columns.
///
/// On the columns where the answer is positive it is the ordinary answer for these columns alone. So the best of all subsets
/// whose ordinary answer is not negative is the answer, and with few columns that needs no cleverer search.
pub(super) fn non_negative(columns: &[Vec<f64>], wanted: &[f64]) -> Vec<f64> {
    assert!(columns.len() <= MOST_COLUMNS, "all subsets of the columns are tried");
    let all: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    if let Some(answer) = ordinary(&all, wanted).filter(|answer| answer.iter().all(|value| *value >= 0.0)) {
        return answer;
    }
    let mut best = vec![0.0; columns.len()];
    let mut least = squared(&residuals(columns, &best, wanted));
    for subset in 1_u32..1 << columns.len() {
        let chosen: Vec<usize> = (0..columns.len()).filter(|column| subset & 1 << column != 0).collect();
        let parts: Vec<&[f64]> = chosen.iter().map(|&column| columns[column].as_slice()).collect();
        let Some(answer) = ordinary(&parts, wanted) else { continue };
        if answer.iter().any(|value| *value < 0.0) {
            continue;
        }
        let mut all = vec![0.0; columns.len()];
        for (&column, value) in chosen.iter().zip(answer) {
            all[column] = value;
        }
        let left = squared(&residuals(columns, &all, wanted));
        if left < least {
            (best, least) = (all, left);
        }
    }
    best
}

/// Part of a column's length that no sum of the others has: 0 for one that says nothing new, 1 for one that is at right angles
/// to all of them.
pub(super) fn new_part(others: &[&[f64]], column: &[f64]) -> f64 {
    let length = squared(column).sqrt();
    if length == 0.0 {
        return 0.0;
    }
    let mut left = column.to_vec();
    for direction in directions(others) {
        let along = dot(&direction, &left);
        left.iter_mut().zip(&direction).for_each(|(value, direction)| *value -= along * direction);
    }
    squared(&left).sqrt() / length
}

/// Directions at right angles to each other that span the columns (Gram-Schmidt, each taken off twice against rounding).
fn directions(columns: &[&[f64]]) -> Vec<Vec<f64>> {
    let mut found: Vec<Vec<f64>> = Vec::new();
    for column in columns {
        let length = squared(column).sqrt();
        let mut left = column.to_vec();
        for _ in 0..2 {
            for direction in &found {
                let along = dot(direction, &left);
                left.iter_mut().zip(direction).for_each(|(value, direction)| *value -= along * direction);
            }
        }
        let rest = squared(&left).sqrt();
        if rest > length * 1e-9 {
            found.push(left.iter().map(|value| value / rest).collect());
        }
    }
    found
}

/// The ordinary answer, by the normal equations of columns brought to length one; none when the columns depend on each other.
fn ordinary(columns: &[&[f64]], wanted: &[f64]) -> Option<Vec<f64>> {
    let lengths: Vec<f64> = columns.iter().map(|column| squared(column).sqrt()).collect();
    if columns.len() > wanted.len() || lengths.contains(&0.0) {
        return None;
    }
    let count = columns.len();
    let mut rows: Vec<Vec<f64>> = (0..count)
        .map(|row| {
            let products = (0..count)
                .map(|column| dot(columns[row], columns[column]) / (lengths[row] * lengths[column]))
                .chain([dot(columns[row], wanted) / lengths[row]]);
            products.collect()
        })
        .collect();
    for step in 0..count {
        // Symmetric and positive: what is left on the diagonal is the new part of the column, squared.
        if rows[step][step] < 1e-12 {
            return None;
        }
        let pivot = rows[step].clone();
        for (_, row) in rows.iter_mut().enumerate().filter(|(number, _)| *number != step) {
            let factor = row[step] / pivot[step];
            row.iter_mut().zip(&pivot).for_each(|(value, pivot)| *value -= factor * pivot);
        }
    }
    Some((0..count).map(|row| rows[row][count] / rows[row][row] / lengths[row]).collect())
}

/// What an answer leaves over.
pub(super) fn residuals(columns: &[Vec<f64>], answer: &[f64], wanted: &[f64]) -> Vec<f64> {
    let mut left = wanted.to_vec();
    for (column, factor) in columns.iter().zip(answer) {
        left.iter_mut().zip(column).for_each(|(value, part)| *value -= factor * part);
    }
    left
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn squared(values: &[f64]) -> f64 {
    dot(values, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(values: &[f64]) -> Vec<f64> {
        values.iter().map(|value| (value * 1e6).round() / 1e6).collect()
    }

    #[test]
    fn exact_coefficients_come_back() {
        let columns =
            vec![vec![1.0, 2.0, 3.0, 4.0], vec![1.0, 1.0, 1.0, 1.0], vec![1_000.0, 0.0, 0.0, 9_000.0]];
        let wanted: Vec<f64> = (0..4)
            .map(|row| 2.0 * columns[0][row] + 0.5 * columns[1][row] + 1e-3 * columns[2][row])
            .collect();
        assert_eq!(rounded(&non_negative(&columns, &wanted)), [2.0, 0.5, 0.001]);
    }

    #[test]
    fn what_would_be_negative_is_zero_and_the_others_are_best_without_it() {
        // The ordinary answer is 2 and -1; without the second column it is 14 / 14.
        let columns = vec![vec![1.0, 2.0, 3.0], vec![1.0, 1.0, 1.0]];
        let wanted = [1.0, 3.0, 5.0];
        assert_eq!(rounded(&non_negative(&columns, &wanted)), [rounded(&[22.0 / 14.0])[0], 0.0]);
        assert_eq!(non_negative(&columns, &[-1.0, -2.0, -3.0]), [0.0, 0.0]);
    }

    #[test]
    fn columns_that_depend_on_each_other_still_have_an_answer() {
        let columns = vec![vec![1.0, 2.0], vec![2.0, 4.0]];
        let answer = non_negative(&columns, &[3.0, 6.0]);
        assert!(squared(&residuals(&columns, &answer, &[3.0, 6.0])) < 1e-18, "{answer:?}");
    }

    #[test]
    fn the_new_part_of_a_column_is_a_sine() {
        let one: &[f64] = &[1.0, 0.0, 0.0];
        assert_eq!(new_part(&[one], &[0.0, 5.0, 0.0]), 1.0);
        assert_eq!(new_part(&[one], &[7.0, 0.0, 0.0]), 0.0);
        assert_eq!(rounded(&[new_part(&[one], &[3.0, 4.0, 0.0])]), [0.8]);
        let two: &[f64] = &[1.0, 1.0, 0.0];
        assert_eq!(rounded(&[new_part(&[one, two], &[5.0, 9.0, 0.0])]), [0.0]);
        assert_eq!(new_part(&[one], &[0.0, 0.0, 0.0]), 0.0);
    }
}

//! Plots as SVG, for pages that stand alone: axes, lines, steps, bars, points, marks and a legend.
//!
//! ```text
//!   Plot { x: Axis, y: Axis, series, marks } --> scale (value to place) --> ticks --> svg
//! ```
//!
//! A plot has the width of a column and grows with it. Series differ by dashes as well as by colour, and the colours come from
//! [`STYLE`], which knows light and dark. Whatever text is given is escaped.

mod axis;
mod unit;

use std::fmt::Write;

pub(crate) use axis::{Axis, Scale};
pub(crate) use unit::Unit;

/// Rules for the page that plots stand on.
pub(crate) const STYLE: &str = include_str!("plot/style.css");

const WIDTH: f64 = 460.0;
/// Of the part between the axes.
const INNER_HEIGHT: f64 = 190.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
/// Above the part between the axes: the name of the y axis, and a row of the legend each.
const ROW: f64 = 18.0;
/// Below it: tick labels and the name of the x axis.
const BOTTOM: f64 = 44.0;
/// Width of a character, about, in the largest size that is used.
const LETTER: f64 = 8.2;
/// Places with a text of their own under the pointer.
const MOST_HINTS: usize = 160;

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Straight from point to point.
    Line,
    /// Level from each point to the next. The last one is only where it ends.
    Steps,
    /// Level, and filled down to the axis.
    Bars,
    Points,
}

/// Points in the order of x. One whose y is not a number leaves a gap. A series without a name belongs to the first one: it comes behind
/// the named ones, and is not in the legend.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) shape: Shape,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Something to compare with.
#[derive(Clone, Debug)]
pub(crate) enum Mark {
    /// A line at this x.
    Vertical { x: f64, label: String },
    /// A line at this y: an objective.
    Horizontal { y: f64, label: String },
    /// A stretch of the x axis.
    Band { from: f64, to: f64, label: String },
}

#[derive(Clone, Debug)]
pub(crate) struct Plot {
    pub(crate) title: String,
    /// What it shows, in a sentence with figures, for those who cannot see it.
    pub(crate) description: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
    pub(crate) marks: Vec<Mark>,
}

impl Series {
    pub(crate) fn new(name: &str, shape: Shape, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.to_owned(), shape, points }
    }
}

impl Plot {
    /// A `figure` with its caption; a note instead of the plot when there is nothing to show.
    pub(crate) fn figure(&self) -> String {
        let title = escape(&self.title);
        if !self.points().any(|(_, y)| y.is_finite()) {
            return format!(
                "<figure><figcaption>{title}</figcaption><p class=\"none\">no data</p></figure>\n"
            );
        }
        format!("<figure><figcaption>{title}</figcaption>\n{}</figure>\n", self.svg())
    }

    pub(crate) fn svg(&self) -> String {
        let legend = self.legend_places();
        let rows = legend.last().map_or(0.0, |(row, _)| row + 1.0);
        let top = ROW * (1.0 + rows) + 10.0;
        let height = top + INNER_HEIGHT + BOTTOM;
        let x = self.x.fit(self.points().map(|(x, _)| x), LEFT, WIDTH - RIGHT);
        let marked = self.marks.iter().filter_map(|mark| match mark {
            Mark::Horizontal { y, .. } => Some(*y),
            Mark::Vertical { .. } | Mark::Band { .. } => None,
        });
        let y = self.y.fit(self.points().map(|(_, y)| y).chain(marked), top + INNER_HEIGHT, top);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}: {}\">\n",
            escape(&self.title),
            escape(&self.description)
        );
        self.draw_bands(&mut svg, &x, top);
        draw_axes(&mut svg, &x, &y, top);
        let _ = writeln!(
            svg,
            "<text class=\"name\" x=\"2\" y=\"13\">{}</text>\
             <text class=\"name\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            escape(&self.y.name),
            WIDTH - RIGHT,
            height - 5.0,
            escape(&self.x.name)
        );
        for (number, series) in self.series.iter().enumerate() {
            let number = if series.name.is_empty() { 0 } else { number };
            draw_series(&mut svg, number, series, &x, &y);
        }
        self.draw_marks(&mut svg, &x, &y, top);
        self.draw_legend(&mut svg, &legend);
        self.draw_hints(&mut svg, &x, top);
        svg.push_str("</svg>\n");
        svg
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.series.iter().flat_map(|series| series.points.iter().copied())
    }

    /// Row and x of each entry. One series needs no legend.
    fn legend_places(&self) -> Vec<(f64, f64)> {
        let (mut row, mut at) = (0.0, 0.0);
        let mut places = Vec::new();
        let named = || self.series.iter().filter(|series| !series.name.is_empty());
        for series in named().filter(|_| named().count() > 1) {
            let width = 34.0 + series.name.chars().count() as f64 * LETTER + 12.0;
            if at > 0.0 && at + width > WIDTH {
                (row, at) = (row + 1.0, 0.0);
            }
            places.push((row, at));
            at += width;
        }
        places
    }

    fn draw_legend(&self, svg: &mut String, places: &[(f64, f64)]) {
        // Unnamed ones come last.
        for (number, ((row, at), series)) in places.iter().zip(&self.series).enumerate() {
            let y = ROW * (1.0 + row) + 13.0;
            let sample = match series.shape {
                Shape::Line | Shape::Steps => {
                    format!("<path class=\"line s{number}\" d=\"M{} {}h26\"/>", at + 2.0, y - 4.0)
                }
                Shape::Bars => format!(
                    "<rect class=\"bar s{number}\" x=\"{}\" y=\"{}\" width=\"26\" height=\"9\"/>",
                    at + 2.0,
                    y - 9.0
                ),
                Shape::Points => format!(
                    "<circle class=\"point s{number}\" cx=\"{}\" cy=\"{}\" r=\"3.5\"/>",
                    at + 15.0,
                    y - 4.0
                ),
            };
            let _ =
                writeln!(svg, "{sample}<text x=\"{}\" y=\"{y}\">{}</text>", at + 34.0, escape(&series.name));
        }
    }

    fn draw_bands(&self, svg: &mut String, x: &Scale, top: f64) {
        for mark in &self.marks {
            let Mark::Band { from, to, .. } = mark else { continue };
            let (from, to) = (x.place(*from), x.place(*to));
            if from < to {
                let _ = writeln!(
                    svg,
                    "<rect class=\"band\" x=\"{from:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{INNER_HEIGHT}\"/>",
                    to - from
                );
            }
        }
    }

    /// Lines of marks and all their names, over what they mark.
    fn draw_marks(&self, svg: &mut String, x: &Scale, y: &Scale, top: f64) {
        // Names of lines that are close to each other stand below each other.
        let mut row = 0.0;
        for mark in &self.marks {
            let (path, at_x, at_y, anchor, label) = match mark {
                Mark::Band { from, to, label } => {
                    let (from, to) = (x.place(*from), x.place(*to));
                    // A name that does not fit would run into the next one.
                    if label.chars().count() as f64 * LETTER > to - from {
                        continue;
                    }
                    (String::new(), f64::midpoint(from, to), top + 14.0, "middle", label)
                }
                Mark::Vertical { x: value, label } => {
                    let at = x.place(*value);
                    let is_right = at > f64::midpoint(LEFT, WIDTH);
                    let (text_at, anchor) = if is_right { (at - 4.0, "end") } else { (at + 4.0, "start") };
                    row += 1.0;
                    (format!("M{at:.1} {top}v{INNER_HEIGHT}"), text_at, top + 15.0 * row - 3.0, anchor, label)
                }
                Mark::Horizontal { y: value, label } => {
                    let at = y.place(*value);
                    let text_at = if at < top + 18.0 { at + 14.0 } else { at - 4.0 };
                    (format!("M{LEFT} {at:.1}H{}", WIDTH - RIGHT), WIDTH - RIGHT, text_at, "end", label)
                }
            };
            if !path.is_empty() {
                let _ = write!(svg, "<path class=\"mark\" d=\"{path}\"/>");
            }
            let _ = writeln!(
                svg,
                "<text class=\"marked\" x=\"{at_x:.1}\" y=\"{at_y:.1}\" text-anchor=\"{anchor}\">{}</text>",
                escape(label)
            );
        }
    }

    /// What stands at each x, to be read by pointing at it.
    fn draw_hints(&self, svg: &mut String, x: &Scale, top: f64) {
        let named = self.series.iter().filter(|series| !series.name.is_empty());
        let mut xs: Vec<f64> = named.flat_map(|series| &series.points).map(|(x, _)| *x).collect();
        xs.sort_by(f64::total_cmp);
        xs.dedup();
        let step = xs.len().div_ceil(MOST_HINTS).max(1);
        let is_level = self.series.iter().all(|series| matches!(series.shape, Shape::Steps | Shape::Bars));
        let xs: Vec<f64> = xs.into_iter().step_by(step).collect();
        for (number, &at) in xs.iter().enumerate() {
            let place = x.place(at);
            let after = xs.get(number + 1).map_or(WIDTH - RIGHT, |next| x.place(*next));
            let before = if number > 0 { x.place(xs[number - 1]) } else { LEFT };
            // Levels hold up to the next point, others are nearest to their own place.
            let (from, to) = match is_level {
                true => (place, after),
                false => (f64::midpoint(before, place), f64::midpoint(place, after)),
            };
            let values = self.series.iter().filter(|series| !series.name.is_empty()).filter_map(|series| {
                let (_, value) =
                    series.points.iter().find(|(x, _)| *x == at).filter(|(_, y)| y.is_finite())?;
                let value = self.y.unit.exact(*value);
                Some(if self.series.len() > 1 { format!("{} {value}", series.name) } else { value })
            });
            let values = values.collect::<Vec<_>>().join(", ");
            if values.is_empty() || to - from < 0.05 {
                continue;
            }
            let _ = writeln!(
                svg,
                "<rect class=\"hint\" x=\"{from:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{INNER_HEIGHT}\"><title>{}: \
                 {}</title></rect>",
                to - from,
                escape(&self.x.unit.exact(at)),
                escape(&values)
            );
        }
    }
}

fn draw_axes(svg: &mut String, x: &Scale, y: &Scale, top: f64) {
    let bottom = top + INNER_HEIGHT;
    let mut free_from = f64::MIN;
    for (value, label) in x.ticks() {
        let at = x.place(value);
        let half = label.chars().count() as f64 * LETTER / 2.0;
        // The last label may not run out of the picture, and none into another.
        let middle = at.min(WIDTH - half);
        let has_room = middle - half > free_from;
        let _ = write!(svg, "<path class=\"grid\" d=\"M{at:.1} {top}V{bottom}\"/>");
        if has_room {
            free_from = middle + half + 4.0;
            let _ = write!(
                svg,
                "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
                bottom + 16.0
            );
        }
        svg.push('\n');
    }
    for (value, label) in y.ticks() {
        let at = y.place(value);
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0
        );
    }
    let _ = writeln!(svg, "<path class=\"axis\" d=\"M{LEFT} {top}V{bottom}H{}\"/>", WIDTH - RIGHT);
}

fn draw_series(svg: &mut String, number: usize, series: &Series, x: &Scale, y: &Scale) {
    let points = series.points.iter().map(|&(at, value)| (x.place(at), y.place(value)));
    let points: Vec<(f64, f64)> = points.collect();
    match series.shape {
        Shape::Line => {
            let mut path = String::new();
            let mut is_drawing = false;
            for (at, value) in points {
                if value.is_finite() {
                    let _ = write!(path, "{}{at:.1} {value:.1}", if is_drawing { 'L' } else { 'M' });
                }
                is_drawing = value.is_finite();
            }
            let _ = writeln!(svg, "<path class=\"line s{number}\" d=\"{path}\"/>");
        }
        Shape::Steps => {
            let mut path = String::new();
            let mut is_drawing = false;
            for pair in points.windows(2) {
                let ((at, value), (next, _)) = (pair[0], pair[1]);
                if value.is_finite() {
                    let begin =
                        if is_drawing { format!("V{value:.1}") } else { format!("M{at:.1} {value:.1}") };
                    let _ = write!(path, "{begin}H{next:.1}");
                }
                is_drawing = value.is_finite();
            }
            let _ = writeln!(svg, "<path class=\"line s{number}\" d=\"{path}\"/>");
        }
        Shape::Bars => {
            for pair in points.windows(2) {
                let ((at, value), (next, _)) = (pair[0], pair[1]);
                let height = y.floor() - value;
                if height > 0.0 {
                    let gap = if next - at > 4.0 { 1.0 } else { 0.0 };
                    let _ = writeln!(
                        svg,
                        "<rect class=\"bar s{number}\" x=\"{at:.1}\" y=\"{value:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
                        next - at - gap
                    );
                }
            }
        }
        Shape::Points => {
            for (at, value) in points.into_iter().filter(|(_, value)| value.is_finite()) {
                let _ = writeln!(
                    svg,
                    "<circle class=\"point s{number}\" cx=\"{at:.1}\" cy=\"{value:.1}\" r=\"3.5\"/>"
                );
            }
        }
    }
}

/// Text for HTML and SVG, inside elements and in double quotes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // XML has no other control characters.
            '\n' | '\t' => escaped.push(letter),
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;

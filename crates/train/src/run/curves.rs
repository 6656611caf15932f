//! Curves of a run as SVG.

use std::fmt::Write;

use super::metrics::Line;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 22.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 58.0;
/// Points of a line that can be told apart at this width.
const POINTS: usize = 800;

/// A line of a chart.
struct Series {
    label: &'static str,
    colour: &'static str,
    /// `(step, value)`, ascending.
    points: Vec<(f64, f64)>,
    width: f64,
    opacity: f64,
    dots: bool,
}

/// The loss of training (each point, and smoothed) and of evaluations.
pub(super) fn loss(title: &str, lines: &[Line]) -> String {
    let raw = points(lines, |line| match line {
        Line::Step(step) => Some((step.step, step.loss)),
        Line::Eval(_) => None,
    });
    let eval = points(lines, |line| match line {
        Line::Eval(eval) => Some((eval.step, eval.eval_loss)),
        Line::Step(_) => None,
    });
    let line =
        |label, colour, points, width, opacity, dots| Series { label, colour, points, width, opacity, dots };
    let smooth = smoothed(&raw);
    let series = [
        line("train", "#2563eb", thinned(&raw), 1.0, 0.35, false),
        line("train, smoothed", "#1d4ed8", thinned(&smooth), 2.2, 1.0, false),
        line("eval", "#ea580c", thinned(&eval), 2.0, 1.0, true),
    ];
    chart(&format!("{title}: loss"), "loss (nats per label)", &series)
}

/// The learning rate.
pub(super) fn learning_rate(title: &str, lines: &[Line]) -> String {
    let points = points(lines, |line| match line {
        Line::Step(step) => Some((step.step, step.learning_rate)),
        Line::Eval(_) => None,
    });
    let points = thinned(&points);
    let series =
        [Series { label: "learning rate", colour: "#0f766e", points, width: 2.0, opacity: 1.0, dots: false }];
    chart(&format!("{title}: learning rate"), "learning rate", &series)
}

fn points(lines: &[Line], pick: impl Fn(&Line) -> Option<(usize, f64)>) -> Vec<(f64, f64)> {
    let finite = |(step, value): (usize, f64)| value.is_finite().then_some((step as f64, value));
    lines.iter().filter_map(|line| finite(pick(line)?)).collect()
}

/// An exponential mean over about a twentieth of the points and at least three, without the pull of its start towards
/// zero.
fn smoothed(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let keep = 1.0 - 1.0 / (points.len() as f64 / 20.0).max(3.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    let smooth = |(step, value): &(f64, f64)| {
        sum = keep * sum + value;
        weight = keep * weight + 1.0;
        (*step, sum / weight)
    };
    points.iter().map(smooth).collect()
}

/// At most [`POINTS`], each the mean of its neighbourhood.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let size = points.len().div_ceil(POINTS).max(1);
    let mean = |some: &[(f64, f64)]| {
        let count = some.len() as f64;
        let sum = some.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / count, sum.1 / count)
    };
    points.chunks(size).map(mean).collect()
}

/// Round numbers that cover `low` to `high`: 1, 2 or 5 times a power of ten apart.
fn ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    let span = (high - low).max(f64::MIN_POSITIVE);
    let rough = span / most as f64;
    let power = 10f64.powf(rough.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    let step =
        factors.map(|factor| factor * power).into_iter().find(|step| *step >= rough * 0.999).unwrap_or(rough);
    let (first, last) = ((low / step).floor() as i64, (high / step).ceil() as i64);
    (first..=last).map(|count| count as f64 * step).collect()
}

fn label(value: f64, step: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    if value.abs() < 1e-3 || value.abs() >= 1e6 {
        let text = format!("{value:.2e}");
        return text.replace(".00e", "e").replace("0e", "e");
    }
    let digits = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{value:.digits$}")
}

fn chart(title: &str, unit: &str, series: &[Series]) -> String {
    let all = || series.iter().flat_map(|series| &series.points);
    let range = |pick: fn(&(f64, f64)) -> f64| {
        let fold = |(low, high): (f64, f64), point| (low.min(pick(point)), high.max(pick(point)));
        let (low, high) = all().fold((f64::INFINITY, f64::NEG_INFINITY), fold);
        match (low.is_finite(), high > low) {
            (false, _) => (0.0, 1.0),
            // A line that does not move lies in the middle.
            (true, false) => (low - low.abs().max(1e-6) * 0.5, high + high.abs().max(1e-6) * 0.5),
            (true, true) => (low, high),
        }
    };
    let (x_low, x_high) = range(|point| point.0);
    let (y_low, y_high) = range(|point| point.1);
    let rows = ticks(y_low, y_high, 6);
    let (bottom, top) = (rows[0], rows[rows.len() - 1]);
    let x = |value: f64| LEFT + (value - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - (value - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#334155\">\n<title>{0}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"26\" font-size=\"16\" font-weight=\"600\">{0}</text>\n",
        escaped(title)
    );
    // Writing into a string does not fail.
    let mut put = |line: String| {
        let _ = writeln!(out, "{line}");
    };
    let (floor, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for value in &rows {
        let (at, text) = (y(*value), label(*value, rows[1] - rows[0]));
        put(format!("<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#e2e8f0\"/>"));
        put(format!("<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", LEFT - 8.0, at + 4.0));
    }
    let columns = ticks(x_low, x_high, 8);
    // There are no half steps.
    let shown = |value: &&f64| (x_low..=x_high).contains(*value) && value.fract() == 0.0;
    for value in columns.iter().filter(shown) {
        let (at, text) = (x(*value), label(*value, columns[1] - columns[0]));
        put(format!(
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{floor}\" y2=\"{}\" stroke=\"#94a3b8\"/>",
            floor + 5.0
        ));
        put(format!("<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>", floor + 19.0));
    }
    put(format!("<path d=\"M{LEFT} {TOP}V{floor}H{right}\" fill=\"none\" stroke=\"#94a3b8\"/>"));
    let (middle, centre) = ((LEFT + right) / 2.0, (TOP + floor) / 2.0);
    put(format!("<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">step</text>", HEIGHT - 14.0));
    put(format!(
        "<text transform=\"translate(18 {centre}) rotate(-90)\" text-anchor=\"middle\">{unit}</text>"
    ));
    let mut key = right;
    for Series { label, colour, points, width, opacity, dots } in series.iter().rev() {
        if points.is_empty() {
            continue;
        }
        let path: Vec<_> =
            points.iter().map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1))).collect();
        put(format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" opacity=\"{opacity}\" \
             stroke-linejoin=\"round\"/>",
            path.join(" ")
        ));
        if *dots || points.len() == 1 {
            for point in points {
                put(format!(
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>",
                    x(point.0),
                    y(point.1)
                ));
            }
        }
        // About seven pixels a letter.
        key -= 7.0 * label.len() as f64 + 34.0;
        put(format!(
            "<path d=\"M{key:.0} 22h18\" stroke=\"{colour}\" stroke-width=\"{}\" opacity=\"{opacity}\"/>\
             <text x=\"{:.0}\" y=\"26\">{label}</text>",
            width + 1.0,
            key + 23.0
        ));
    }
    out.push_str("</svg>\n");
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{EvalMetrics, StepMetrics};

    fn lines(count: usize) -> Vec<Line> {
        let step = |step: usize| {
            Line::Step(StepMetrics {
                step,
                epoch: 0.0,
                loss: 3.0 / (1.0 + step as f64),
                grad_norm: None,
                learning_rate: 2e-4,
                tokens: 0,
                labels: 0,
                tokens_per_s: 0.0,
                elapsed: 0.0,
                peak_memory: None,
                loss_scale: None,
            })
        };
        let eval = |step| {
            Line::Eval(EvalMetrics {
                step,
                epoch: 0.0,
                eval_loss: 1.5,
                eval_perplexity: 4.5,
                eval_examples: 1,
                eval_labels: 1,
                eval_seconds: 0.0,
            })
        };
        (1..=count).map(step).chain([eval(count / 2), eval(count)]).collect()
    }

    #[test]
    fn ticks_are_round_and_cover_the_range() {
        assert_eq!(ticks(0.0, 10.0, 5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(0.3, 2.9, 6), [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]);
        assert_eq!(label(2e-4, 1e-5), "2e-4");
        assert_eq!(label(2.5, 0.5), "2.5");
        assert_eq!(label(100.0, 20.0), "100");
    }

    #[test]
    fn a_chart_has_title_axes_and_all_lines() {
        let chart = loss("a < b", &lines(100));
        assert!(chart.starts_with("<svg") && chart.trim_end().ends_with("</svg>"));
        for text in [
            "<title>a &lt; b: loss</title>",
            ">step</text>",
            ">loss (nats per label)</text>",
            ">train, smoothed</text>",
            ">eval</text>",
        ] {
            assert!(chart.contains(text), "{text}");
        }
        assert_eq!((chart.matches("<polyline").count(), chart.matches("<circle").count()), (3, 2));
        assert!(!chart.contains("NaN") && !chart.contains("inf"));
    }

    #[test]
    fn runs_of_any_length_can_be_drawn() {
        for count in [0, 1, 2, 100_000] {
            for chart in [loss("t", &lines(count)[..count]), learning_rate("t", &lines(count)[..count])] {
                assert!(!chart.contains("NaN") && !chart.contains("inf"), "{count}: {chart}");
                assert!(chart.len() < 100_000, "{count}: {}", chart.len());
            }
        }
    }
}

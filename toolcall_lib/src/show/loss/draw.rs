//! Draws the loss curve as SVG: a legend, the losses, and the learning rate below.

use super::Curves;
use crate::show::style::short;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

/// A part of the picture.
type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawing<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Size in pixels: twice the size at which the plot is shown, because the plotting library rounds
/// to whole pixels.
const SIZE: (u32, u32) = (1520, 740);
const SHOWN_WIDTH: u32 = SIZE.0 / 2;
const LEGEND_HEIGHT: u32 = 56;
const LOSS_HEIGHT: u32 = 510;
const LABEL_WIDTH: u32 = 130;

const TRAIN: RGBColor = RGBColor(56, 132, 228);
const VALIDATION: RGBColor = RGBColor(230, 126, 34);
const EXACT: RGBColor = RGBColor(46, 160, 67);
const RATE: RGBColor = RGBColor(140, 140, 140);
/// Stands for the text colour of the page while the plot is drawn.
const INK: RGBColor = RGBColor(1, 2, 3);
const INK_HEX: &str = "#010203";

/// Draws the plot as SVG.
pub(super) fn svg(curves: &Curves) -> Drawing<String> {
    let mut svg = String::new();
    draw(
        SVGBackend::with_string(&mut svg, SIZE).into_drawing_area(),
        curves,
    )?;
    Ok(for_any_page(&svg))
}

fn draw(area: Area<'_>, curves: &Curves) -> Drawing<()> {
    let (legend, rest) = area.split_vertically(LEGEND_HEIGHT);
    let (loss, rate) = rest.split_vertically(LOSS_HEIGHT);
    draw_legend(&legend, curves)?;
    if curves.log {
        draw_loss(&loss, curves, curves.values.clone().log_scale())?;
    } else {
        draw_loss(&loss, curves, curves.values.clone())?;
    }
    draw_rate(&rate, curves)?;
    area.present()?;
    Ok(())
}

fn text_style(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK.mix(0.8))
}

/// Draws a line of the names and colours of the curves that are shown.
fn draw_legend(area: &Area<'_>, curves: &Curves) -> Drawing<()> {
    let highest = curves.rate.iter().map(|point| point.1).fold(0.0, f64::max);
    let mut entries = vec![("training loss".to_string(), TRAIN)];
    if !curves.validation.is_empty() {
        entries.push(("validation loss".to_string(), VALIDATION));
    }
    if !curves.exact.is_empty() {
        entries.push(("exact calls".to_string(), EXACT));
    }
    entries.push((format!("learning rate, at most {}", short(highest)), RATE));
    for (i, (name, color)) in entries.into_iter().enumerate() {
        let x = LABEL_WIDTH as i32 + 300 * i as i32;
        area.draw(&PathElement::new([(x, 24), (x + 44, 24)], color.stroke_width(6)))?;
        area.draw(&Text::new(name, (x + 58, 12), text_style(28)))?;
    }
    Ok(())
}

/// Returns the width on the right that the axis of the exact calls needs.
fn right_width(curves: &Curves) -> u32 {
    if curves.exact.is_empty() { 0 } else { LABEL_WIDTH }
}

/// Draws losses with the axis on the left, and exact calls with the axis on the right.
fn draw_loss<Y>(area: &Area<'_>, curves: &Curves, values: Y) -> Drawing<()>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(area)
        .margin_right(24)
        .margin_top(8)
        .set_label_area_size(LabelAreaPosition::Left, LABEL_WIDTH)
        .set_label_area_size(LabelAreaPosition::Bottom, 14)
        .set_label_area_size(LabelAreaPosition::Right, right_width(curves))
        .build_cartesian_2d(curves.steps.clone(), values)?
        .set_secondary_coord(curves.steps.clone(), 0.0..100.0);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.12))
        .axis_style(INK.mix(0.35))
        .x_labels(0)
        .y_labels(6)
        .y_label_style(text_style(26))
        .axis_desc_style(text_style(28))
        .y_desc("loss (nats a token)")
        .y_label_formatter(&|value| short(*value))
        .draw()?;
    // 1. Training loss, faint, with its average; a single step is drawn as a dot.
    let point_size = if curves.loss.len() == 1 { 8 } else { 0 };
    let faint = LineSeries::new(curves.loss.clone(), TRAIN.mix(0.35).stroke_width(3)).point_size(point_size);
    chart.draw_series(faint)?;
    chart.draw_series(LineSeries::new(curves.average.clone(), TRAIN.stroke_width(5)))?;
    // 2. Validation loss as a line with dots.
    chart.draw_series(LineSeries::new(
        curves.validation.clone(),
        VALIDATION.stroke_width(4),
    ))?;
    let dot = |color: RGBColor| move |&point: &(f64, f64)| Circle::new(point, 8, color.filled());
    chart.draw_series(curves.validation.iter().map(dot(VALIDATION)))?;
    // 3. Exact calls in percent, on the axis on the right.
    if !curves.exact.is_empty() {
        chart
            .configure_secondary_axes()
            .axis_style(INK.mix(0.35))
            .label_style(text_style(26))
            .axis_desc_style(text_style(28))
            .y_labels(6)
            .y_desc("exact calls (%)")
            .y_label_formatter(&|value| short(*value))
            .draw()?;
        let line = LineSeries::new(curves.exact.clone(), EXACT.stroke_width(4));
        chart.draw_secondary_series(line)?;
        chart.draw_secondary_series(curves.exact.iter().map(dot(EXACT)))?;
    }
    Ok(())
}

/// Draws the learning rate as an area over the steps.
fn draw_rate(area: &Area<'_>, curves: &Curves) -> Drawing<()> {
    let highest = curves
        .rate
        .iter()
        .map(|point| point.1)
        .fold(0.0, f64::max)
        .max(f64::MIN_POSITIVE);
    let mut chart = ChartBuilder::on(area)
        .margin_right(24)
        .margin_top(10)
        .set_label_area_size(LabelAreaPosition::Left, LABEL_WIDTH)
        .set_label_area_size(LabelAreaPosition::Bottom, 84)
        .set_label_area_size(LabelAreaPosition::Right, right_width(curves))
        .build_cartesian_2d(curves.steps.clone(), 0.0..highest * 1.15)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .axis_style(INK.mix(0.35))
        .label_style(text_style(26))
        .axis_desc_style(text_style(28))
        .x_labels(10.min((curves.steps.end - curves.steps.start) as usize) + 1)
        .y_labels(0)
        .x_desc("optimizer step")
        .x_label_formatter(&|step| short(*step))
        .draw()?;
    chart.draw_series(
        AreaSeries::new(curves.rate.clone(), 0.0, RATE.mix(0.18)).border_style(RATE.stroke_width(3)),
    )?;
    Ok(())
}

/// Makes the picture fit any page: half its drawn size, no wider than the page, in the page's text
/// colour.
fn for_any_page(svg: &str) -> String {
    let (width, height) = SIZE;
    let drawn = format!("<svg width=\"{width}\" height=\"{height}\"");
    let shown = format!(
        "<svg role=\"img\" aria-label=\"loss over optimizer steps\" width=\"{SHOWN_WIDTH}\" \
         style=\"max-width:100%;height:auto\""
    );
    svg.replacen(&drawn, &shown, 1).replace(INK_HEX, "currentColor")
}

//! Which colour and object does a picture show? Measured as `models/embedded-scene/check/README.md` describes.

use std::path::Path;

use candle_core::{Device, Tensor};
use serde_json::Value;

const OBJECTS: [&str; 14] = [
    "wizard", "knight", "dragon", "robot", "cat", "castle", "house", "boat", "tree", "star",
    "heart", "fish", "flower", "mushroom",
];
const RADII: [f64; 5] = [0.42, 0.48, 0.54, 0.60, 0.66];
const GRID: usize = 48;
const TEXELS: usize = 64;
const SPAN: f64 = 1.6;
const SOFTNESS: f32 = 0.16;

/// What a picture shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) colour: String,
    pub(crate) object: &'static str,
}

/// One object at one place and size.
struct Candidate {
    object: usize,
    inside: Vec<usize>,
}

pub(crate) struct Measure {
    palette: Vec<(String, [f32; 3])>,
    candidates: Vec<Candidate>,
    /// `(candidates, cells)`: weights whose product with a map is the score.
    templates: Tensor,
}

impl Measure {
    pub(crate) fn load(check: &Path) -> Self {
        let text = std::fs::read_to_string(check.join("palette.json")).unwrap();
        let palette: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
        let palette = palette
            .into_iter()
            .map(|(name, rgb)| {
                let rgb: [f32; 3] = serde_json::from_value(rgb).unwrap();
                (name, rgb.map(|byte| byte / 255.0))
            })
            .collect();
        let sheet = image::open(check.join("silhouettes.png")).unwrap().into_luma8();
        assert_eq!(sheet.dimensions(), (TEXELS as u32, (TEXELS * OBJECTS.len()) as u32));

        let (mut candidates, mut weights) = (Vec::new(), Vec::new());
        for (object, sheet) in sheet.as_raw().chunks_exact(TEXELS * TEXELS).enumerate() {
            for radius in RADII {
                for place in 0..13 * 13 {
                    let centre = [place / 13, place % 13].map(|step| step as f64 * 0.08 - 0.48);
                    let (inside, template) = template(sheet, radius, centre);
                    candidates.push(Candidate { object, inside });
                    weights.extend(template);
                }
            }
        }
        let shape = (candidates.len(), GRID * GRID);
        let templates = Tensor::from_vec(weights, shape, &Device::Cpu).unwrap();
        Self { palette, candidates, templates }
    }

    /// `rgb` are the bytes of a square picture whose side is a multiple of 48.
    pub(crate) fn look(&self, rgb: &[u8], side: usize) -> Shown {
        let pixels: Vec<[f32; 3]> = rgb
            .chunks_exact(3)
            .map(|rgb| [rgb[0], rgb[1], rgb[2]].map(|byte| f32::from(byte) / 255.0))
            .collect();
        let count = self.palette.len();
        let mut maps = vec![0_f32; GRID * GRID * count];
        let mut small = vec![[0_f32; 3]; GRID * GRID];
        let width = side / GRID;
        let share = 1.0 / (width * width) as f32;
        for (index, pixel) in pixels.iter().enumerate() {
            let cell = index / side / width * GRID + index % side / width;
            small[cell].iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value * share);
            for (colour, (_, rgb)) in self.palette.iter().enumerate() {
                let near = (-squared(pixel, rgb) / (2.0 * SOFTNESS * SOFTNESS)).exp();
                maps[cell * count + colour] += near * share;
            }
        }
        let maps = Tensor::from_vec(maps, (GRID * GRID, count), &Device::Cpu).unwrap();
        let scores: Vec<f32> =
            self.templates.matmul(&maps).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let best = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
        let best = &self.candidates[best / count];
        let median = [0, 1, 2]
            .map(|channel| median(best.inside.iter().map(|cell| small[*cell][channel]).collect()));
        let (colour, _) = self
            .palette
            .iter()
            .min_by(|a, b| squared(&median, &a.1).total_cmp(&squared(&median, &b.1)))
            .unwrap();
        Shown { colour: colour.clone(), object: OBJECTS[best.object] }
    }
}

/// The cells inside a silhouette, and the weights of its score.
fn template(sheet: &[u8], radius: f64, [cy, cx]: [f64; 2]) -> (Vec<usize>, Vec<f32>) {
    let texel = |cell: usize, centre: f64| {
        let place = (cell as f64 + 0.5) / GRID as f64 * 2.0 - 1.0;
        let texel = (((place - centre) / radius / SPAN + 1.0) * 0.5 * TEXELS as f64).floor();
        (texel >= 0.0 && texel < TEXELS as f64).then_some(texel as usize)
    };
    let columns: Vec<Option<usize>> = (0..GRID).map(|cell| texel(cell, cx)).collect();
    let (mut inside, mut ring) = (Vec::new(), Vec::new());
    for row in 0..GRID {
        let Some(v) = texel(row, cy) else { continue };
        for (column, u) in columns.iter().enumerate() {
            let Some(u) = u else { continue };
            let distance = (f64::from(sheet[v * TEXELS + u]) - 128.0) / 100.0;
            if distance < -0.03 {
                inside.push(row * GRID + column);
            } else if distance > 0.10 && distance < 0.45 {
                ring.push(row * GRID + column);
            }
        }
    }
    let area = (inside.len() as f32).powf(0.4);
    let mut weights = vec![0_f32; GRID * GRID];
    inside.iter().for_each(|cell| weights[*cell] = area / inside.len() as f32);
    ring.iter().for_each(|cell| weights[*cell] = -area / ring.len() as f32);
    (inside, weights)
}

fn squared(a: &[f32; 3], b: &[f32; 3]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

fn median(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { (values[half - 1] + values[half]) / 2.0 }
}

//! The blocks of the UNet: residual layers, each followed by a transformer where the model has one.

use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;

use super::transformer::{SpatialTransformer, TransformerConfig};
use crate::engines::image::resnet::{NormConfig, ResnetBlock};

/// The sizes of one block.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockConfig {
    pub(super) channels: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    /// Transformer blocks per layer, `None` for a block without text.
    pub(super) depth: Option<usize>,
    pub(super) text_width: usize,
    pub(super) time_width: usize,
    pub(super) norm: NormConfig,
}

impl BlockConfig {
    fn load_resnet(&self, inputs: usize, vb: VarBuilder<'_>) -> Result<ResnetBlock> {
        ResnetBlock::load((inputs, self.channels), Some(self.time_width), self.norm, vb)
    }

    fn load_transformer(&self, vb: VarBuilder<'_>) -> Result<Option<SpatialTransformer>> {
        let Some(depth) = self.depth else { return Ok(None) };
        if self.heads == 0 || !self.channels.is_multiple_of(self.heads) {
            bail!("{} attention heads do not divide {} channels", self.heads, self.channels);
        }
        let config = TransformerConfig {
            channels: self.channels,
            heads: self.heads,
            depth,
            text_width: self.text_width,
            groups: self.norm.groups,
        };
        SpatialTransformer::load(config, vb).map(Some)
    }
}

#[derive(Debug)]
pub(super) struct Layer {
    resnet: ResnetBlock,
    transformer: Option<SpatialTransformer>,
}

impl Layer {
    pub(super) fn forward(&self, xs: &Tensor, time: &Tensor, text: &Tensor) -> Result<Tensor> {
        let xs = self.resnet.forward(xs, Some(time))?;
        match &self.transformer {
            Some(transformer) => transformer.forward(&xs, text),
            None => Ok(xs),
        }
    }
}

/// The layers at one size, on the way down or up.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) layers: Vec<Layer>,
}

impl Block {
    /// `inputs` are the channels each layer reads.
    pub(super) fn load(config: BlockConfig, inputs: &[usize], vb: VarBuilder<'_>) -> Result<Self> {
        let layers = inputs.iter().enumerate().map(|(index, inputs)| {
            Ok(Layer {
                resnet: config.load_resnet(*inputs, vb.pp("resnets").pp(index))?,
                transformer: config.load_transformer(vb.pp("attentions").pp(index))?,
            })
        });
        Ok(Self { layers: layers.collect::<Result<_>>()? })
    }
}

/// The block at the smallest size.
#[derive(Debug)]
pub(super) struct MidBlock {
    first: Layer,
    last: Option<ResnetBlock>,
}

impl MidBlock {
    pub(super) fn load(config: BlockConfig, kind: &str, vb: VarBuilder<'_>) -> Result<Self> {
        let resnet = |index: usize| config.load_resnet(config.channels, vb.pp("resnets").pp(index));
        let first = resnet(0)?;
        match kind {
            "UNetMidBlock2DCrossAttn" => Ok(Self {
                first: Layer {
                    resnet: first,
                    transformer: config.load_transformer(vb.pp("attentions.0"))?,
                },
                last: Some(resnet(1)?),
            }),
            "UNetMidBlock2D" => {
                Ok(Self { first: Layer { resnet: first, transformer: None }, last: None })
            }
            other => bail!("config.json: `mid_block_type` = {other:?} is not supported"),
        }
    }

    pub(super) fn forward(&self, xs: &Tensor, time: &Tensor, text: &Tensor) -> Result<Tensor> {
        let xs = self.first.forward(xs, time, text)?;
        match &self.last {
            Some(last) => last.forward(&xs, Some(time)),
            None => Ok(xs),
        }
    }
}

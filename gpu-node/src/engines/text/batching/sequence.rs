//! One continuation on its way: its tokens, how many of them the cache knows, and the blocks it holds.

use super::{
    blocks::{BlockPool, Found, PrefixId},
    writer::Writer,
};

/// So many tokens that a grammar forces are read at once, out of turn.
const FORCED_TOKENS: usize = 32;

/// When a sequence came: requests in the order of their admission, then their choices. The youngest gives way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Age {
    pub(super) request: u64,
    pub(super) choice: usize,
}

pub(super) struct Sequence {
    pub(super) age: Age,
    /// The prompt, then what was written.
    pub(super) tokens: Vec<u32>,
    pub(super) prompt_tokens: usize,
    /// Tokens whose keys and values are in the blocks.
    pub(super) computed: usize,
    blocks: Vec<u32>,
    /// Blocks at the beginning that can be found by their tokens.
    filed: usize,
    tip: PrefixId,
    pub(super) writer: Writer,
}

impl Sequence {
    pub(super) fn new(age: Age, prompt: Vec<u32>, writer: Writer) -> Self {
        Self {
            age,
            prompt_tokens: prompt.len(),
            tokens: prompt,
            computed: 0,
            blocks: Vec::new(),
            filed: 0,
            tip: PrefixId::ROOT,
            writer,
        }
    }

    /// Another choice after the same prompt; it shares the full blocks, and computes the rest of the prompt again.
    pub(super) fn fork(&self, choice: usize, writer: Writer, pool: &mut BlockPool) -> Self {
        let shared = self.filed.min(self.prompt_tokens / pool.block_tokens());
        let blocks = self.blocks[..shared].to_vec();
        for &block in &blocks {
            pool.hold(block);
        }
        Self {
            age: Age { choice, ..self.age },
            tokens: self.tokens[..self.prompt_tokens].to_vec(),
            prompt_tokens: self.prompt_tokens,
            computed: shared * pool.block_tokens(),
            blocks,
            filed: shared,
            tip: self.tip,
            writer,
        }
    }

    /// Tokens that the model has yet to read before the next one can be chosen.
    pub(super) fn pending(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// The cache knows the whole prompt.
    pub(super) fn has_read_prompt(&self) -> bool {
        self.computed >= self.prompt_tokens
    }

    /// It has more to read than a step should always make time for; else each pass gives a token.
    pub(super) fn is_reading(&self) -> bool {
        !self.has_read_prompt() || self.pending() > FORCED_TOKENS
    }

    pub(super) fn blocks(&self) -> &[u32] {
        &self.blocks
    }

    /// Holds what the cache knows of its tokens and room for all of them, or nothing. Gives how many tokens were known.
    pub(super) fn enter(&mut self, spare: usize, pool: &mut BlockPool) -> Option<usize> {
        let Found { blocks, tip } = pool.hold_prefix(&self.tokens);
        let missing = pool.blocks_for(self.tokens.len()) - blocks.len();
        if missing + spare > pool.available() {
            pool.release(&blocks);
            return None;
        }
        self.filed = blocks.len();
        self.computed = blocks.len() * pool.block_tokens();
        (self.blocks, self.tip) = (blocks, tip);
        self.make_room(self.tokens.len(), pool);
        Some(self.computed)
    }

    /// Room for so many tokens; false when the cache has too few blocks left.
    pub(super) fn make_room(&mut self, tokens: usize, pool: &mut BlockPool) -> bool {
        while self.blocks.len() < pool.blocks_for(tokens) {
            let Some(block) = pool.take() else { return false };
            self.blocks.push(block);
        }
        true
    }

    /// The cache knows so many tokens from now on; full blocks become findable.
    pub(super) fn set_computed(&mut self, computed: usize, pool: &mut BlockPool) {
        self.computed = computed;
        let size = pool.block_tokens();
        while (self.filed + 1) * size <= computed {
            let tokens = &self.tokens[self.filed * size..(self.filed + 1) * size];
            let (tip, block) = pool.file(self.tip, tokens, self.blocks[self.filed]);
            self.blocks[self.filed] = block;
            self.tip = tip;
            self.filed += 1;
        }
    }

    /// Gives its blocks back; it can enter again and goes on as if it had never left.
    pub(super) fn leave(&mut self, pool: &mut BlockPool) {
        pool.release(&self.blocks);
        self.blocks.clear();
        (self.computed, self.filed, self.tip) = (0, 0, PrefixId::ROOT);
    }
}

//! The cache's blocks: who holds which, and which full ones can be found again by the tokens they hold.
//!
//! A full block is filed under the block before it and its own tokens, so a find compares tokens, never only hashes.
//! Blocks that nobody holds stay findable until room is needed; the longest unused goes first, and its ends before its beginnings.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// A beginning of a text as far as full blocks reach; no two beginnings ever have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PrefixId(u64);

impl PrefixId {
    /// The beginning of every text.
    pub(super) const ROOT: Self = Self(0);
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Link {
    before: PrefixId,
    tokens: Box<[u32]>,
}

#[derive(Debug, Clone, Copy)]
struct Filed {
    block: u32,
    id: PrefixId,
}

/// What the cache holds of a text already.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) blocks: Vec<u32>,
    pub(super) tip: PrefixId,
}

#[derive(Debug, Default)]
struct Block {
    holders: u32,
    /// Where it is filed, once it is full.
    link: Option<Arc<Link>>,
    /// Since when nobody holds it.
    idle_since: u64,
}

/// All blocks of one model's cache.
#[derive(Debug)]
pub(super) struct BlockPool {
    block_tokens: usize,
    blocks: Vec<Block>,
    /// Held by nobody, findable by nobody.
    free: Vec<u32>,
    /// Held by nobody but findable, the longest unused first.
    idle: BTreeMap<u64, u32>,
    filed: HashMap<Arc<Link>, Filed>,
    clock: u64,
    last_id: u64,
}

impl BlockPool {
    pub(super) fn new(count: usize, block_tokens: usize) -> Self {
        Self {
            block_tokens,
            blocks: (0..count).map(|_| Block::default()).collect(),
            free: (0..count as u32).rev().collect(),
            idle: BTreeMap::new(),
            filed: HashMap::new(),
            clock: 0,
            last_id: 0,
        }
    }

    /// Blocks needed for that many tokens.
    pub(super) fn blocks_for(&self, tokens: usize) -> usize {
        tokens.div_ceil(self.block_tokens)
    }

    pub(super) fn block_tokens(&self) -> usize {
        self.block_tokens
    }

    /// All of them.
    pub(super) fn count(&self) -> usize {
        self.blocks.len()
    }

    /// Those that can be taken now.
    pub(super) fn available(&self) -> usize {
        self.free.len() + self.idle.len()
    }

    /// Holds the full blocks that begin `tokens`, leaving at least its last token to be computed.
    pub(super) fn hold_prefix(&mut self, tokens: &[u32]) -> Found {
        let mut found = Found { blocks: Vec::new(), tip: PrefixId::ROOT };
        let before_last = tokens.len().saturating_sub(1);
        for chunk in tokens[..before_last].chunks_exact(self.block_tokens) {
            let link = Link { before: found.tip, tokens: chunk.into() };
            let Some(&Filed { block, id }) = self.filed.get(&link) else { break };
            self.hold(block);
            found.blocks.push(block);
            found.tip = id;
        }
        found
    }

    /// One more holder of a block that is held or findable.
    pub(super) fn hold(&mut self, block: u32) {
        let Some(entry) = self.blocks.get_mut(block as usize) else { return };
        if entry.holders == 0 {
            self.idle.remove(&entry.idle_since);
        }
        entry.holders += 1;
    }

    /// A block for the taker alone; an idle one is forgotten for it when none is free.
    pub(super) fn take(&mut self) -> Option<u32> {
        let block = match self.free.pop() {
            Some(block) => block,
            None => {
                let (_, block) = self.idle.pop_first()?;
                self.unfile(block);
                block
            }
        };
        self.blocks.get_mut(block as usize)?.holders = 1;
        Some(block)
    }

    /// One holder less of each; the last of a text's blocks is the first to be forgotten.
    pub(super) fn release(&mut self, blocks: &[u32]) {
        for &block in blocks.iter().rev() {
            let Some(entry) = self.blocks.get_mut(block as usize) else { continue };
            entry.holders = entry.holders.saturating_sub(1);
            if entry.holders > 0 {
                continue;
            }
            if entry.link.is_some() {
                self.clock += 1;
                entry.idle_since = self.clock;
                self.idle.insert(self.clock, block);
            } else {
                self.free.push(block);
            }
        }
    }

    /// Makes a full block findable. Gives the block to go on with: an equal one that was filed before, held instead.
    pub(super) fn file(&mut self, before: PrefixId, tokens: &[u32], block: u32) -> (PrefixId, u32) {
        let link = Arc::new(Link { before, tokens: tokens.into() });
        if let Some(&filed) = self.filed.get(&link) {
            if filed.block != block {
                self.hold(filed.block);
                self.release(&[block]);
            }
            return (filed.id, filed.block);
        }
        self.last_id += 1;
        let id = PrefixId(self.last_id);
        if let Some(entry) = self.blocks.get_mut(block as usize) {
            entry.link = Some(link.clone());
        }
        self.filed.insert(link, Filed { block, id });
        (id, block)
    }

    /// Nobody finds these blocks any more: what they hold is not to be trusted.
    pub(super) fn distrust(&mut self, blocks: &[u32]) {
        for &block in blocks {
            self.unfile(block);
            let Some(entry) = self.blocks.get(block as usize) else { continue };
            if entry.holders == 0 && self.idle.remove(&entry.idle_since).is_some() {
                self.free.push(block);
            }
        }
    }

    /// Forgets what every block holds; holders keep theirs.
    pub(super) fn distrust_all(&mut self) {
        let all: Vec<u32> = (0..self.blocks.len() as u32).collect();
        self.distrust(&all);
    }

    fn unfile(&mut self, block: u32) {
        let link = self.blocks.get_mut(block as usize).and_then(|entry| entry.link.take());
        if let Some(link) = link {
            self.filed.remove(&link);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds what is known of the text, computes and files the rest; gives its blocks.
    fn read(pool: &mut BlockPool, text: &[u32]) -> (usize, Vec<u32>) {
        let Found { mut blocks, mut tip } = pool.hold_prefix(text);
        let found = blocks.len();
        for chunk in text.chunks_exact(2).skip(found) {
            let block = pool.take().unwrap();
            let (id, block) = pool.file(tip, chunk, block);
            tip = id;
            blocks.push(block);
        }
        (found, blocks)
    }

    #[test]
    fn a_beginning_is_found_again_but_never_the_whole_text() {
        let mut pool = BlockPool::new(8, 2);
        let (_, first) = read(&mut pool, &[1, 2, 3, 4]);
        pool.release(&first);
        assert_eq!(pool.hold_prefix(&[1, 2, 3, 4]).blocks, first[..1]);
        assert_eq!(pool.hold_prefix(&[1, 2, 3, 4, 5]).blocks, first);
        assert_eq!(pool.hold_prefix(&[1, 2, 9, 4, 5]).blocks, first[..1]);
        assert!(pool.hold_prefix(&[]).blocks.is_empty());
    }

    #[test]
    fn equal_tokens_after_another_beginning_are_another_block() {
        let mut pool = BlockPool::new(8, 2);
        let (_, first) = read(&mut pool, &[1, 2, 3, 4]);
        let (found, second) = read(&mut pool, &[9, 9, 3, 4]);
        assert_eq!(found, 0);
        assert_ne!(first[1], second[1]);
    }

    #[test]
    fn the_longest_unused_goes_first_and_its_end_before_its_beginning() {
        let mut pool = BlockPool::new(5, 2);
        let (_, old) = read(&mut pool, &[1, 2, 3, 4]);
        pool.release(&old);
        let (_, young) = read(&mut pool, &[5, 6, 7, 8]);
        pool.release(&young);
        assert_eq!(pool.available(), 5);
        pool.take().unwrap();
        assert_eq!(pool.take(), Some(old[1]));
        assert_eq!(pool.hold_prefix(&[1, 2, 3, 4, 5]).blocks, old[..1]);
        assert_eq!(pool.take(), Some(young[1]));
    }

    #[test]
    fn a_held_block_is_never_taken() {
        let mut pool = BlockPool::new(2, 2);
        let (_, held) = read(&mut pool, &[1, 2, 3, 4]);
        assert_eq!(pool.take(), None);
        let again = pool.hold_prefix(&[1, 2, 3, 4, 5]);
        pool.release(&held);
        assert_eq!(pool.take(), None, "the second holder still has them");
        pool.release(&again.blocks);
        assert_eq!(pool.available(), 2);
    }

    #[test]
    fn the_same_block_computed_twice_is_kept_once() {
        let mut pool = BlockPool::new(4, 2);
        let (one, two) = (pool.take().unwrap(), pool.take().unwrap());
        let (id, kept) = pool.file(PrefixId::ROOT, &[1, 2], one);
        assert_eq!(pool.file(PrefixId::ROOT, &[1, 2], two), (id, kept));
        assert_eq!(pool.available(), 3);
        pool.release(&[kept]);
        assert_eq!(pool.take().unwrap(), two, "a free block before a findable one");
        pool.release(&[kept]);
        assert_eq!(pool.available(), 3);
    }

    #[test]
    fn what_is_distrusted_is_not_found_and_not_lost() {
        let mut pool = BlockPool::new(4, 2);
        let (_, held) = read(&mut pool, &[1, 2, 3, 4]);
        let (_, idle) = read(&mut pool, &[5, 6]);
        pool.release(&idle);
        pool.distrust_all();
        assert!(pool.hold_prefix(&[1, 2, 3]).blocks.is_empty());
        assert!(pool.hold_prefix(&[5, 6, 7]).blocks.is_empty());
        assert_eq!(pool.available(), 2);
        pool.release(&held);
        assert_eq!(pool.available(), 4);
    }
}

//! A persistent radix tree over bytes.
//!
//! A clone shares everything; a change copies the nodes on its way and shares the rest. A node
//! finds the child for a byte by counting bits, so that a step costs two cache lines.

use std::sync::Arc;

use smallvec::SmallVec;

/// Labels up to this lie in their node.
const INLINE_LABEL: usize = 24;
/// Matching prefixes up to this need no allocation.
const INLINE_HITS: usize = 8;

/// The prefixes that a look-up passes, shortest first.
pub(super) type Hits<'t, V> = SmallVec<[&'t V; INLINE_HITS]>;

/// Which keys a value is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// The key itself.
    Exact,
    /// Every key that starts with it.
    Prefix,
}

/// A map from keys, and from prefixes of keys, to values.
#[derive(Debug, Clone)]
pub(super) struct Tree<V> {
    root: Option<Arc<Node<V>>>,
}

#[derive(Debug, Clone)]
struct Node<V> {
    /// The bytes from the parent to here, the one that the parent branches on included.
    label: SmallVec<[u8; INLINE_LABEL]>,
    branches: Branches,
    /// In the order of the bytes that they start with.
    children: Vec<Arc<Node<V>>>,
    exact: Option<V>,
    prefix: Option<V>,
}

/// The bytes that a node's children start with.
#[derive(Debug, Clone, Copy, Default)]
struct Branches([u64; 4]);

impl Branches {
    #[inline]
    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0
    }

    /// How many children start with a smaller byte.
    #[inline]
    fn rank(&self, byte: u8) -> usize {
        let word = usize::from(byte >> 6);
        let below = self.0[word] & ((1 << (byte & 63)) - 1);
        let whole: u32 = self.0[..word].iter().map(|word| word.count_ones()).sum();
        (whole + below.count_ones()) as usize
    }

    fn flip(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] ^= 1 << (byte & 63);
    }
}

/// What follows the label. Most labels are a byte or two: comparing those in place spares a call.
#[inline]
fn strip<'k>(key: &'k [u8], label: &[u8]) -> Option<&'k [u8]> {
    let (start, rest) = key.split_at_checked(label.len())?;
    let same = match label {
        [] => true,
        [byte] => start[0] == *byte,
        [first, second] => start == [*first, *second],
        _ => start == label,
    };
    same.then_some(rest)
}

impl<V> Default for Tree<V> {
    fn default() -> Self {
        Tree { root: None }
    }
}

impl<V> Tree<V> {
    /// Whether it holds nothing.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// The value for the key itself; those for its prefixes go to `hits`.
    #[inline]
    pub(super) fn lookup<'t>(&'t self, key: &[u8], hits: &mut Hits<'t, V>) -> Option<&'t V> {
        let mut node = self.root.as_deref()?;
        let mut rest = key;
        loop {
            rest = strip(rest, &node.label)?;
            if let Some(value) = &node.prefix {
                hits.push(value);
            }
            let Some(byte) = rest.first() else { return node.exact.as_ref() };
            node = node.child(*byte)?;
        }
    }

    /// The value for exactly this key and slot.
    pub(super) fn get(&self, key: &[u8], slot: Slot) -> Option<&V> {
        let mut node = self.root.as_deref()?;
        let mut rest = key;
        loop {
            rest = strip(rest, &node.label)?;
            let Some(byte) = rest.first() else { return node.slot(slot).as_ref() };
            node = node.child(*byte)?;
        }
    }
}

impl<V> Tree<V> {
    /// Visits every value.
    pub(super) fn each(&self, visit: &mut impl FnMut(&V)) {
        if let Some(root) = &self.root {
            root.each(visit);
        }
    }
}

impl<V: Clone> Tree<V> {
    /// Replaces the value for a key by what `change` makes of it; [`None`] takes it away.
    pub(super) fn alter(
        &mut self,
        key: &[u8],
        slot: Slot,
        change: impl FnOnce(Option<V>) -> Option<V>,
    ) {
        match &mut self.root {
            Some(root) => {
                alter(root, key, slot, change);
                if root.is_hollow() {
                    self.root = None;
                }
            }
            None => self.root = Node::leaf(key, slot, change(None)),
        }
    }
}

impl<V> Node<V> {
    fn new(label: &[u8]) -> Node<V> {
        Node {
            label: label.into(),
            branches: Branches::default(),
            children: Vec::new(),
            exact: None,
            prefix: None,
        }
    }

    fn leaf(label: &[u8], slot: Slot, value: Option<V>) -> Option<Arc<Node<V>>> {
        value.is_some().then(|| {
            let mut leaf = Node::new(label);
            *leaf.slot_mut(slot) = value;
            Arc::new(leaf)
        })
    }

    #[inline]
    fn child(&self, byte: u8) -> Option<&Node<V>> {
        self.branches.has(byte).then(|| &*self.children[self.branches.rank(byte)])
    }

    fn slot(&self, slot: Slot) -> &Option<V> {
        match slot {
            Slot::Exact => &self.exact,
            Slot::Prefix => &self.prefix,
        }
    }

    fn slot_mut(&mut self, slot: Slot) -> &mut Option<V> {
        match slot {
            Slot::Exact => &mut self.exact,
            Slot::Prefix => &mut self.prefix,
        }
    }

    /// As deep as keys are long; those are bounded where patterns are compiled.
    fn each(&self, visit: &mut impl FnMut(&V)) {
        self.prefix.iter().chain(&self.exact).for_each(&mut *visit);
        self.children.iter().for_each(|child| child.each(visit));
    }

    fn has_value(&self) -> bool {
        self.exact.is_some() || self.prefix.is_some()
    }

    /// Whether nothing is in it and below it.
    fn is_hollow(&self) -> bool {
        !self.has_value() && self.children.is_empty()
    }

    fn add_child(&mut self, child: Arc<Node<V>>) {
        let Some(byte) = child.label.first().copied() else { return };
        self.children.insert(self.branches.rank(byte), child);
        self.branches.flip(byte);
    }

    fn remove_child(&mut self, byte: u8) {
        self.children.remove(self.branches.rank(byte));
        self.branches.flip(byte);
    }

    /// Makes it end behind the first `at` bytes of its label, with the rest in a child.
    fn split(&mut self, at: usize) {
        let upper = Node::new(&self.label[..at]);
        let mut lower = std::mem::replace(self, upper);
        lower.label.drain(..at);
        self.add_child(Arc::new(lower));
    }
}

impl<V: Clone> Node<V> {
    /// Becomes one with its only child, where nothing else keeps it.
    fn merge(&mut self) {
        if self.has_value() || self.children.len() != 1 {
            return;
        }
        if let Some(child) = self.children.pop() {
            let label = std::mem::take(&mut self.label);
            *self = Arc::unwrap_or_clone(child);
            self.label.insert_from_slice(0, &label);
        }
    }
}

/// As deep as keys are long; those are bounded where patterns are compiled.
fn alter<V: Clone>(
    node: &mut Arc<Node<V>>,
    key: &[u8],
    slot: Slot,
    change: impl FnOnce(Option<V>) -> Option<V>,
) {
    let node = Arc::make_mut(node);
    let common = node.label.iter().zip(key).take_while(|(a, b)| a == b).count();
    if common < node.label.len() {
        node.split(common);
    }
    let rest = &key[common..];
    match rest.first().copied() {
        None => {
            let value = node.slot_mut(slot);
            *value = change(value.take());
        }
        Some(byte) if node.branches.has(byte) => {
            let child = &mut node.children[node.branches.rank(byte)];
            alter(child, rest, slot, change);
            if child.is_hollow() {
                node.remove_child(byte);
            }
        }
        Some(_) => {
            if let Some(leaf) = Node::leaf(rest, slot, change(None)) {
                node.add_child(leaf);
            }
        }
    }
    node.merge();
}

#[cfg(test)]
impl<V> Tree<V> {
    /// How many nodes there are.
    pub(super) fn nodes(&self) -> usize {
        fn count<V>(node: &Node<V>) -> usize {
            1 + node.children.iter().map(|child| count(child)).sum::<usize>()
        }
        self.root.as_deref().map_or(0, count)
    }
}

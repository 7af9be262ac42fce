//! An ordered map that is a value: a copy costs nothing, shares all nodes, and is not changed by what is done to the other.
//!
//! A B+tree. A change copies the nodes on the way to its entry that a copy shares, and changes the others where they lie. Two
//! things set it apart from a general one. An entry holds its own key, so that documents need none beside them. And nodes are
//! no larger than what is in them: keys that rise, as the ids that are generated do, leave full nodes behind, not half-empty
//! ones.

use std::ops::Bound;
use std::slice;
use std::sync::Arc;

/// What a tree holds. Its key is a part of it and never changes.
pub(crate) trait Entry: Clone {
    type Key: Ord + Clone + Marked;
    fn key(&self) -> &Self::Key;
}

/// A key that is told from nearly all others by one byte.
pub(crate) trait Marked {
    /// The byte: equal for equal keys.
    fn mark(&self) -> u8;
}

/// A mark of a number that any of its bits changes.
pub(crate) fn mark_of(number: u64) -> u8 {
    // An odd number without a pattern (2^64 divided by the golden ratio): the upper bits of a product depend on all others.
    let [mark, ..] = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    mark
}

impl<K: Ord + Clone + Marked, V: Clone> Entry for (K, V) {
    type Key = K;
    fn key(&self) -> &K {
        &self.0
    }
}

/// The most entries of a leaf.
const LEAF: usize = 32;
/// The most children of another node.
const INNER: usize = 64;
/// Neighbours become one node where one of them has less than a quarter of the most, and both together at most half.
const fn is_few(len: usize, most: usize) -> bool {
    len < most / 4
}
/// For how many more there is room in a node that grows.
const ROOM: usize = 8;
/// No tree is deeper: a level more takes 32 times as many insertions.
const DEPTH: usize = 12;

/// The map.
#[derive(Clone)]
pub(crate) struct Tree<E: Entry> {
    root: Arc<Node<E>>,
    len: usize,
}

#[derive(Clone)]
enum Node<E: Entry> {
    Leaf(Leaf<E>),
    /// All leaves are equally deep.
    Inner(Vec<Child<E>>),
}

#[derive(Clone)]
struct Leaf<E> {
    entries: Vec<E>,
    /// Of the key of each entry. Whoever looks for one key touches the one entry that has it: what is in memory between, which
    /// mostly is far away, is passed over.
    marks: [u8; LEAF],
}

impl<E: Entry> Leaf<E> {
    fn of(entries: Vec<E>) -> Self {
        let mut marks = [0; LEAF];
        marks.iter_mut().zip(&entries).for_each(|(mark, entry)| *mark = entry.key().mark());
        Self { entries, marks }
    }

    fn at(&self, key: &E::Key) -> Option<usize> {
        let wanted = key.mark();
        let same =
            self.marks.iter().enumerate().fold(0_u32, |same, (at, mark)| same | u32::from(*mark == wanted) << at);
        let mut left = same;
        while left != 0 {
            let at = left.trailing_zeros() as usize;
            if self.entries.get(at).is_some_and(|entry| entry.key() == key) {
                return Some(at);
            }
            left &= left - 1;
        }
        None
    }

    /// Puts an entry in its place, as [`put`] does.
    fn put(&mut self, at: usize, entry: E) -> Option<Self> {
        let mark = entry.key().mark();
        match put(&mut self.entries, at, entry, LEAF) {
            None => {
                self.marks.copy_within(at..LEAF - 1, at + 1);
                if let Some(place) = self.marks.get_mut(at) {
                    *place = mark;
                }
                None
            }
            Some(upper) => {
                *self = Self::of(std::mem::take(&mut self.entries));
                Some(Self::of(upper))
            }
        }
    }

    fn take(&mut self, at: usize) -> E {
        self.marks.copy_within(at + 1.., at);
        take(&mut self.entries, at)
    }
}

#[derive(Clone)]
struct Child<E: Entry> {
    /// Not above any key within, and above all keys of the child before.
    low: E::Key,
    node: Arc<Node<E>>,
}

/// The child that the key is in, if it is anywhere.
fn child_at<E: Entry>(children: &[Child<E>], key: &E::Key) -> usize {
    children.partition_point(|child| child.low <= *key).saturating_sub(1)
}

fn find<E: Entry>(entries: &[E], key: &E::Key) -> Result<usize, usize> {
    entries.binary_search_by(|entry| entry.key().cmp(key))
}

/// Puts an item in its place. Where there is no room, the upper part of them all is answered.
fn put<T>(items: &mut Vec<T>, at: usize, item: T, most: usize) -> Option<Vec<T>> {
    if items.len() < most {
        if items.len() == items.capacity() {
            items.reserve_exact(ROOM.min(most - items.len()));
        }
        items.insert(at, item);
        return None;
    }
    // Where the last one was put at the end, the next ones will be.
    let middle = if at == items.len() { at } else { items.len() / 2 };
    let mut upper = items.split_off(middle);
    items.shrink_to_fit();
    if at > middle || upper.is_empty() {
        upper.reserve_exact(ROOM);
        upper.insert(at - middle, item);
    } else {
        items.insert(at, item);
    }
    Some(upper)
}

/// Takes an item out, and does not keep much room for others.
fn take<T>(items: &mut Vec<T>, at: usize) -> T {
    let item = items.remove(at);
    if items.capacity() > items.len() + 2 * ROOM {
        items.shrink_to(items.len() + ROOM);
    }
    item
}

impl<E: Entry> Node<E> {
    fn len(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.entries.len(),
            Self::Inner(children) => children.len(),
        }
    }

    fn most(&self) -> usize {
        match self {
            Self::Leaf(_) => LEAF,
            Self::Inner(_) => INNER,
        }
    }

    /// The entry that was there, and the node that no longer fits in this one.
    fn insert(this: &mut Arc<Self>, entry: E) -> (Option<E>, Option<Child<E>>) {
        match Arc::make_mut(this) {
            Self::Leaf(leaf) => {
                // Mostly it comes behind all others.
                let place = match leaf.entries.last() {
                    Some(last) if last.key() < entry.key() => Err(leaf.entries.len()),
                    _ => find(&leaf.entries, entry.key()),
                };
                match place {
                    Ok(at) => (leaf.entries.get_mut(at).map(|old| std::mem::replace(old, entry)), None),
                    Err(at) => {
                        let upper = leaf.put(at, entry);
                        let low =
                            upper.as_ref().and_then(|upper| upper.entries.first()).map(|entry| entry.key().clone());
                        let upper = low.zip(upper);
                        (None, upper.map(|(low, upper)| Child { low, node: Arc::new(Self::Leaf(upper)) }))
                    }
                }
            }
            Self::Inner(children) => {
                let at = child_at(children, entry.key());
                let Some(child) = children.get_mut(at) else { return (None, None) };
                if *entry.key() < child.low {
                    child.low = entry.key().clone();
                }
                let (old, split) = Self::insert(&mut child.node, entry);
                let upper = split.and_then(|split| put(children, at + 1, split, INNER));
                let low = upper.as_ref().and_then(|upper| upper.first()).map(|child| child.low.clone());
                let upper = low.zip(upper);
                (old, upper.map(|(low, upper)| Child { low, node: Arc::new(Self::Inner(upper)) }))
            }
        }
    }

    fn remove(this: &mut Arc<Self>, key: &E::Key) -> Option<E> {
        match Arc::make_mut(this) {
            Self::Leaf(leaf) => leaf.at(key).map(|at| leaf.take(at)),
            Self::Inner(children) => {
                let at = child_at(children, key);
                let child = children.get_mut(at)?;
                let removed = Self::remove(&mut child.node, key)?;
                let left = child.node.len();
                if left == 0 {
                    take(children, at);
                } else if is_few(left, child.node.most()) {
                    join(children, at);
                }
                Some(removed)
            }
        }
    }
}

/// Makes one of a child and one of its neighbours, if both are small.
fn join<E: Entry>(children: &mut Vec<Child<E>>, at: usize) {
    let fits = |left: &usize| match children.get(*left..*left + 2) {
        Some([first, second]) => first.node.len() + second.node.len() <= first.node.most() / 2,
        _ => false,
    };
    // The one before it as well: where keys leave in rising order, the one behind it is full.
    let Some(left) = [Some(at), at.checked_sub(1)].into_iter().flatten().find(fits) else { return };
    let second = Arc::unwrap_or_clone(take(children, left + 1).node);
    let Some(first) = children.get_mut(left) else { return };
    match (Arc::make_mut(&mut first.node), second) {
        (Node::Leaf(leaf), Node::Leaf(more)) => {
            leaf.entries.extend(more.entries);
            *leaf = Leaf::of(std::mem::take(&mut leaf.entries));
        }
        (Node::Inner(children), Node::Inner(more)) => children.extend(more),
        // They are equally deep.
        _ => {}
    }
}

impl<E: Entry> Tree<E> {
    pub(crate) fn new() -> Self {
        Self { root: Arc::new(Node::Leaf(Leaf::of(Vec::new()))), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, key: &E::Key) -> Option<&E> {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Inner(children) => node = &*children.get(child_at(children, key))?.node,
                Node::Leaf(leaf) => return leaf.at(key).and_then(|at| leaf.entries.get(at)),
            }
        }
    }

    /// The entry, to be changed in all but its key.
    pub(crate) fn get_mut(&mut self, key: &E::Key) -> Option<&mut E> {
        let mut node = Arc::make_mut(&mut self.root);
        loop {
            match node {
                Node::Inner(children) => {
                    let at = child_at(children, key);
                    node = Arc::make_mut(&mut children.get_mut(at)?.node);
                }
                Node::Leaf(leaf) => return leaf.at(key).and_then(|at| leaf.entries.get_mut(at)),
            }
        }
    }

    /// Puts an entry in the place of the one with its key, which is answered.
    pub(crate) fn insert(&mut self, entry: E) -> Option<E> {
        let (old, split) = Node::insert(&mut self.root, entry);
        self.len += usize::from(old.is_none());
        if let Some(split) = split {
            let first = match &*self.root {
                Node::Leaf(leaf) => leaf.entries.first().map(|entry| entry.key().clone()),
                Node::Inner(children) => children.first().map(|child| child.low.clone()),
            };
            let first = first.map(|low| Child { low, node: self.root.clone() });
            self.root = Arc::new(Node::Inner(first.into_iter().chain([split]).collect()));
        }
        old
    }

    pub(crate) fn remove(&mut self, key: &E::Key) -> Option<E> {
        let removed = Node::remove(&mut self.root, key)?;
        self.len -= 1;
        while let Node::Inner(children) = &*self.root {
            self.root = match children.as_slice() {
                [] => Arc::new(Node::Leaf(Leaf::of(Vec::new()))),
                [only] => only.node.clone(),
                _ => break,
            };
        }
        Some(removed)
    }

    /// The entries between two keys, the greatest first where it is in reverse.
    pub(crate) fn range(&self, low: Bound<&E::Key>, high: Bound<&E::Key>, reverse: bool) -> Range<'_, E> {
        let (from, to) = if reverse { (high, low) } else { (low, high) };
        let mut range = Range { path: [&[]; DEPTH], depth: 0, leaf: [].iter(), to: to.cloned(), reverse };
        let mut node = &*self.root;
        while let Node::Inner(children) = node {
            let at = match from {
                Bound::Included(key) | Bound::Excluded(key) => child_at(children, key),
                Bound::Unbounded if reverse => children.len().saturating_sub(1),
                Bound::Unbounded => 0,
            };
            let Some(child) = children.get(at) else { return range };
            range.push(if reverse { children.get(..at) } else { children.get(at + 1..) });
            node = &*child.node;
        }
        if let Node::Leaf(Leaf { entries, .. }) = node {
            let within = match from {
                Bound::Unbounded => Some(entries.as_slice()),
                from if reverse => entries.get(..below(entries, from, true)),
                from => entries.get(below(entries, from, false)..),
            };
            range.enter(within.unwrap_or_default());
        }
        range
    }

    /// All entries, in order.
    pub(crate) fn iter(&self) -> Range<'_, E> {
        self.range(Bound::Unbounded, Bound::Unbounded, false)
    }
}

/// How many entries are below a bound. At the upper end of what is wanted the key itself is one of them where it is included,
/// at the lower end where it is not.
fn below<E: Entry>(entries: &[E], bound: Bound<&E::Key>, is_high: bool) -> usize {
    match bound {
        Bound::Unbounded => {
            if is_high {
                entries.len()
            } else {
                0
            }
        }
        Bound::Included(key) if is_high => entries.partition_point(|entry| entry.key() <= key),
        Bound::Excluded(key) if !is_high => entries.partition_point(|entry| entry.key() <= key),
        Bound::Included(key) | Bound::Excluded(key) => entries.partition_point(|entry| entry.key() < key),
    }
}

/// The entries of [`Tree::range`].
pub(crate) struct Range<'a, E: Entry> {
    /// What is left of the nodes above the leaf, the root's first.
    path: [&'a [Child<E>]; DEPTH],
    depth: usize,
    leaf: slice::Iter<'a, E>,
    to: Bound<E::Key>,
    reverse: bool,
}

impl<'a, E: Entry> Range<'a, E> {
    fn push(&mut self, rest: Option<&'a [Child<E>]>) {
        if let (Some(place), Some(rest)) = (self.path.get_mut(self.depth), rest)
            && !rest.is_empty()
        {
            *place = rest;
            self.depth += 1;
        }
    }

    /// Goes on with a leaf, and not beyond it where the end is in it.
    fn enter(&mut self, entries: &'a [E]) {
        let to = self.to.as_ref();
        let (within, goes_on) = if self.reverse {
            let from = match entries.first() {
                Some(_) if !matches!(to, Bound::Unbounded) => below(entries, to, false),
                _ => 0,
            };
            (entries.get(from..), from == 0)
        } else {
            // One look at the last one is enough for nearly all leaves.
            let is_within = match (to, entries.last()) {
                (Bound::Included(to), Some(last)) => last.key() <= to,
                (Bound::Excluded(to), Some(last)) => last.key() < to,
                _ => true,
            };
            let count = if is_within { entries.len() } else { below(entries, to, true) };
            (entries.get(..count), is_within)
        };
        if !goes_on {
            self.depth = 0;
        }
        self.leaf = within.unwrap_or_default().iter();
    }

    /// The next leaf; false when there is none.
    fn next_leaf(&mut self) -> bool {
        while let Some(above) = self.depth.checked_sub(1) {
            let Some(rest) = self.path.get_mut(above) else { return false };
            let next = if self.reverse { rest.split_last() } else { rest.split_first() };
            let Some((child, others)) = next else {
                self.depth = above;
                continue;
            };
            *rest = others;
            let mut node = &*child.node;
            loop {
                match node {
                    Node::Leaf(leaf) => {
                        self.enter(&leaf.entries);
                        return true;
                    }
                    Node::Inner(children) => {
                        let next = if self.reverse { children.split_last() } else { children.split_first() };
                        let Some((child, others)) = next else { break };
                        self.push(Some(others));
                        node = &*child.node;
                    }
                }
            }
        }
        false
    }
}

impl<'a, E: Entry> Range<'a, E> {
    /// Appends what comes next until there is so much in all, leaf by leaf; false when nothing is left.
    pub(crate) fn fill<T>(&mut self, out: &mut Vec<T>, most: usize, of: impl Fn(&'a E) -> T) -> bool {
        loop {
            let room = most.saturating_sub(out.len());
            if self.reverse {
                out.extend(self.leaf.by_ref().rev().take(room).map(&of));
            } else {
                out.extend(self.leaf.by_ref().take(room).map(&of));
            }
            if out.len() >= most {
                return true;
            }
            if !self.next_leaf() {
                return false;
            }
        }
    }
}

impl<'a, E: Entry> Iterator for Range<'a, E> {
    type Item = &'a E;

    fn next(&mut self) -> Option<&'a E> {
        loop {
            let next = if self.reverse { self.leaf.next_back() } else { self.leaf.next() };
            if next.is_some() || !self.next_leaf() {
                return next;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Pairs = Vec<(u16, u32)>;
    type Copies = (Tree<(u16, u32)>, BTreeMap<u16, u32>);

    impl Marked for u16 {
        fn mark(&self) -> u8 {
            // Several of a leaf have one.
            (*self % 7) as u8
        }
    }

    /// The same as one after the other, whatever so many at a time are.
    fn filled(mut range: Range<'_, (u16, u32)>, most: usize) -> Pairs {
        let (mut all, mut some) = (Vec::new(), Vec::new());
        loop {
            let goes_on = range.fill(&mut some, most, |pair| *pair);
            assert!(some.len() == most || !goes_on);
            all.append(&mut some);
            if !goes_on {
                return all;
            }
        }
    }

    fn pairs(tree: &Tree<(u16, u32)>, low: Bound<u16>, high: Bound<u16>, reverse: bool) -> Pairs {
        tree.range(low.as_ref(), high.as_ref(), reverse).copied().collect()
    }

    /// Depth and order of all nodes, and that what is counted is there.
    fn check(tree: &Tree<(u16, u32)>) {
        fn node(of: &Node<(u16, u32)>, low: Option<u16>, high: Option<u16>) -> (usize, usize) {
            let within = |key: u16| low.is_none_or(|low| low <= key) && high.is_none_or(|high| key < high);
            match of {
                Node::Leaf(Leaf { entries, marks }) => {
                    assert!(entries.iter().zip(marks).all(|(entry, mark)| entry.0.mark() == *mark));
                    assert!(entries.is_sorted_by(|a, b| a.0 < b.0) && entries.iter().all(|entry| within(entry.0)));
                    assert!(entries.len() <= LEAF);
                    (1, entries.len())
                }
                Node::Inner(children) => {
                    assert!(children.is_sorted_by(|a, b| a.low < b.low) && children.len() <= INNER);
                    let each: Vec<(usize, usize)> = children
                        .iter()
                        .enumerate()
                        .map(|(at, child)| {
                            let next = children.get(at + 1).map_or(high, |next| Some(next.low));
                            assert!(child.node.len() > 0);
                            node(&child.node, Some(child.low), next)
                        })
                        .collect();
                    assert!(each.iter().all(|(depth, _)| *depth == each[0].0));
                    (each[0].0 + 1, each.iter().map(|(_, count)| count).sum())
                }
            }
        }
        assert_eq!(node(&tree.root, None, None).1, tree.len());
    }

    fn leaves(of: &Arc<Node<(u16, u32)>>) -> Vec<&Arc<Node<(u16, u32)>>> {
        match &**of {
            Node::Leaf(_) => vec![of],
            Node::Inner(children) => children.iter().flat_map(|child| leaves(&child.node)).collect(),
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(u16),
        /// So many in a row, rising or falling.
        Run(u16, u16, bool),
        Take(u16),
        TakeRun(u16, u16),
        Copy,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0_u16..6_000).prop_map(Step::Put),
            3 => (0_u16..6_000, 1_u16..600, any::<bool>()).prop_map(|(from, count, falls)| Step::Run(from, count, falls)),
            4 => (0_u16..6_000).prop_map(Step::Take),
            2 => (0_u16..6_000, 1_u16..2_000).prop_map(|(from, count)| Step::TakeRun(from, count)),
            1 => Just(Step::Copy),
        ]
    }

    fn bound() -> impl Strategy<Value = Bound<u16>> {
        prop_oneof![
            Just(Bound::Unbounded),
            (0_u16..6_600).prop_map(Bound::Included),
            (0_u16..6_600).prop_map(Bound::Excluded)
        ]
    }

    fn is_crossed(low: Bound<u16>, high: Bound<u16>) -> bool {
        match (low, high) {
            (Bound::Included(low) | Bound::Excluded(low), Bound::Included(high) | Bound::Excluded(high)) => low >= high,
            _ => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_is_an_ordered_map_and_copies_are_apart(
            steps in prop::collection::vec(step(), 0..60),
            ranges in prop::collection::vec((bound(), bound()), 8),
        ) {
            let (mut tree, mut map) = (Tree::new(), BTreeMap::new());
            let mut copies: Vec<Copies> = Vec::new();
            let mut stamp = 0;
            for step in steps {
                stamp += 1;
                match step {
                    Step::Put(key) => {
                        let old = tree.insert((key, stamp)).map(|(_, value)| value);
                        prop_assert_eq!(old, map.insert(key, stamp));
                    }
                    Step::Run(from, count, falls) => for at in 0..count {
                        let key = if falls { from.saturating_sub(at) } else { from + at };
                        let old = tree.insert((key, stamp)).map(|(_, value)| value);
                        prop_assert_eq!(old, map.insert(key, stamp));
                    },
                    Step::Take(key) => {
                        prop_assert_eq!(tree.remove(&key).map(|(_, value)| value), map.remove(&key));
                    }
                    Step::TakeRun(from, count) => for key in from..from + count {
                        prop_assert_eq!(tree.remove(&key).map(|(_, value)| value), map.remove(&key));
                    },
                    Step::Copy => copies.push((tree.clone(), map.clone())),
                }
                if let Some((_, value)) = tree.get_mut(&(stamp as u16 * 97)) {
                    *value += 1;
                    map.entry(stamp as u16 * 97).and_modify(|value| *value += 1);
                }
            }
            copies.push((tree, map));
            for (tree, map) in &copies {
                check(tree);
                prop_assert!(tree.iter().copied().eq(map.iter().map(|(key, value)| (*key, *value))));
                for key in (0..6_600).step_by(13) {
                    prop_assert_eq!(tree.get(&key).map(|(_, value)| value), map.get(&key));
                }
                for (low, high) in &ranges {
                    let mut expected: Pairs = if is_crossed(*low, *high) && low != high {
                        Vec::new()
                    } else if is_crossed(*low, *high) {
                        let both = matches!((low, high), (Bound::Included(_), Bound::Included(_)));
                        map.iter().filter(|(key, _)| both && *low == Bound::Included(**key)).map(|(key, value)| (*key, *value)).collect()
                    } else {
                        map.range((*low, *high)).map(|(key, value)| (*key, *value)).collect()
                    };
                    prop_assert_eq!(&pairs(tree, *low, *high, false), &expected, "{:?} {:?}", low, high);
                    prop_assert_eq!(&filled(tree.range(low.as_ref(), high.as_ref(), false), 7), &expected);
                    expected.reverse();
                    prop_assert_eq!(&pairs(tree, *low, *high, true), &expected, "{:?} {:?}", low, high);
                    prop_assert_eq!(&filled(tree.range(low.as_ref(), high.as_ref(), true), 64), &expected);
                }
            }
        }
    }

    #[test]
    fn rising_keys_leave_full_nodes() {
        let mut tree = Tree::new();
        for key in 0..u16::MAX {
            tree.insert((key, 0_u32));
        }
        let Node::Inner(children) = &*tree.root else { panic!("more than a leaf") };
        let Node::Inner(leaves) = &*children[0].node else { panic!("more than two levels") };
        assert_eq!(leaves.len(), INNER);
        for leaf in leaves {
            assert!(
                matches!(&*leaf.node, Node::Leaf(Leaf { entries, .. }) if entries.len() == LEAF && entries.capacity() == LEAF)
            );
        }
    }

    #[test]
    fn what_is_taken_out_leaves_no_empty_nodes() {
        let mut tree = Tree::new();
        for key in 0..20_000 {
            tree.insert((key, 0));
        }
        for key in (0..20_000).filter(|key| key % 100 != 0) {
            tree.remove(&key);
        }
        check(&tree);
        assert_eq!(tree.len(), 200);
        let Node::Inner(children) = &*tree.root else { panic!("more than a leaf") };
        let leaves: Vec<&Arc<Node<(u16, u32)>>> = children.iter().flat_map(|child| leaves(&child.node)).collect();
        assert!(leaves.len() <= 60, "{}", leaves.len());
        for key in 0..20_000 {
            tree.remove(&key);
        }
        assert!(matches!(&*tree.root, Node::Leaf(leaf) if leaf.entries.is_empty()));
    }
}

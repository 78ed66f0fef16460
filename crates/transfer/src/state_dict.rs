//! The search for the dictionary of a model's tensors, the state dict, in what a file holds.

use std::collections::{HashSet, VecDeque};

use files::show;

use crate::error::{Error, Result};
use crate::pickle::heap::{Heap, Id, Value};

/// The keys under which checkpoints have the model's tensors, the likelier first.
const USUAL_KEYS: [&str; 14] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "net",
    "network",
    "weights",
    "params",
    "ema",
    "model_ema",
    "state_dict_ema",
    "ema_state_dict",
    "params_ema",
];

/// The most keys on the way to a state dict.
const DEEPEST: usize = 3;

/// The most state dicts that are considered.
const MOST: usize = 1000;

/// Whether a checkpoint may have a model under this key.
pub(crate) fn is_usual_key(key: &str) -> bool {
    rank(key).is_some()
}

fn rank(key: &str) -> Option<usize> {
    USUAL_KEYS.iter().position(|&usual| usual == key)
}

/// A dictionary with tensors.
struct Candidate {
    dict: Id,
    /// The keys that lead to it, joined by dots; empty for the whole file.
    key: String,
    /// The ranks of these keys, if all of them are usual.
    ranks: Option<Vec<usize>>,
    /// The number of tensors that are its values.
    tensors: usize,
}

/// The state dict that was chosen.
pub(crate) struct Chosen {
    pub(crate) dict: Id,
    /// The keys that lead to it, joined by dots; empty for the whole file.
    pub(crate) key: String,
    /// The keys of the others.
    pub(crate) others: Vec<String>,
}

/// Chooses the state dict under `wanted`, or else the one under the likeliest key, or the file's
/// own tensors if there are more of them, or the only one.
pub(crate) fn choose(heap: &Heap, root: Value, wanted: Option<&str>) -> Result<Chosen> {
    let mut candidates = candidates(heap, root);
    let is_only = candidates.len() == 1;
    let whole = candidates.iter().position(|found| found.key.is_empty());
    let found = || candidates.iter().map(|found| shown(&found.key)).collect();
    let at = if let Some(key) = wanted {
        let at = candidates.iter().position(|found| found.key == key);
        at.ok_or_else(|| Error::MissingKey {
            key: key.to_owned(),
            found: found(),
        })?
    } else {
        let usual = (0..candidates.len())
            .filter(|&at| Some(at) != whole && candidates[at].ranks.is_some())
            .min_by_key(|&at| &candidates[at].ranks);
        match (usual, whole) {
            (Some(usual), Some(whole)) if candidates[whole].tensors > candidates[usual].tensors => {
                whole
            }
            (Some(at), _) | (None, Some(at)) => at,
            (None, None) if is_only => 0,
            (None, None) if candidates.is_empty() => {
                return Err(Error::NoStateDict { got: root.what() });
            }
            (None, None) => return Err(Error::SeveralStateDicts { found: found() }),
        }
    };
    let chosen = candidates.remove(at);
    Ok(Chosen {
        dict: chosen.dict,
        key: chosen.key,
        others: candidates.into_iter().map(|other| other.key).collect(),
    })
}

/// All dictionaries with tensors, each once, those with the shorter ways first.
fn candidates(heap: &Heap, root: Value) -> Vec<Candidate> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut queue = VecDeque::from([(root, Vec::new())]);
    while let Some((value, way)) = queue.pop_front() {
        let Value::Dict(dict) = value else { continue };
        if found.len() == MOST || !seen.insert(dict) {
            continue;
        }
        let entries = heap.dict(dict);
        let is_tensor = |value: &Value| matches!(value, Value::Tensor(_));
        let tensors = entries.iter().filter(|(_, value)| is_tensor(value)).count();
        let keys: Vec<&str> = way.iter().map(|&key| heap.text(key)).collect();
        if tensors > 0 {
            found.push(Candidate {
                dict,
                key: keys.join("."),
                ranks: keys.iter().map(|key| rank(key)).collect(),
                tensors,
            });
        }
        if way.len() == DEEPEST {
            continue;
        }
        for &(key, value) in entries {
            if let (Value::Text(key), Value::Dict(_)) = (key, value)
                && heap.text(key).len() <= 100
            {
                let mut way = way.clone();
                way.push(key);
                queue.push_back((value, way));
            }
        }
    }
    found
}

/// A key that is safe to print.
pub(crate) fn shown(key: &str) -> String {
    show::beginning(key, 100)
}

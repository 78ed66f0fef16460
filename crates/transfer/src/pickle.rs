//! An interpreter of the pickles that PyTorch writes, which builds nothing but tensors and plain data.
//!
//! A pickle is a program for a stack machine. Python's own interpreter imports and calls whatever
//! the program names. This one knows the few names of [`Class`]; any other ends it with an error.

pub(crate) mod build;
pub(crate) mod heap;
pub(crate) mod input;

use std::io::Read;

use files::show;

use self::heap::{Class, Heap, Id, Value};
use self::input::Input;
use crate::error::{Error, Result};
use crate::state_dict;

/// The number with which PyTorch's legacy format begins, 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC: [u8; 10] = *b"l\xfc\x9cF\xf9 j\xa8P\x19";

/// Reads one pickle, up to and including its last opcode. The objects are added to `heap`.
pub(crate) fn read<R: Read>(input: &mut Input<R>, heap: &mut Heap) -> Result<Value> {
    let mut machine = Machine {
        input,
        heap,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
        memoised: 0,
    };
    machine.run()
}

/// The state of the interpreter.
struct Machine<'a, R> {
    input: &'a mut Input<R>,
    heap: &'a mut Heap,
    stack: Vec<Value>,
    /// The heights of the stack at which an unfinished container began.
    marks: Vec<usize>,
    memo: Vec<Option<Value>>,
    /// The number of entries of the memo, which is the next index of `MEMOIZE`.
    memoised: usize,
}

impl<R: Read> Machine<'_, R> {
    fn run(&mut self) -> Result<Value> {
        let is_known = matches!(self.input.array()?, [0x80, 2..=5]);
        if !is_known {
            return Err(self
                .input
                .fault("it does not begin with protocol 2, 3, 4 or 5"));
        }
        loop {
            let opcode = self.input.byte()?;
            if opcode == b'.' {
                return self.pop();
            }
            self.step(opcode)?;
            self.check_memory()?;
        }
    }

    /// Compares what the objects, the stack and the marks take with the limit.
    fn check_memory(&self) -> Result<()> {
        let (stack, marks) = (&*self.stack, &*self.marks);
        self.heap.check(size_of_val(stack) + size_of_val(marks))
    }

    /// Carries out one opcode.
    fn step(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            // Frames only tell Python how much to read at once.
            0x95 => drop(self.input.array::<8>()?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.pop()?;
                self.stack.extend([top, top]);
            }
            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),

            b'J' => self.int(4)?,
            b'K' => self.int(1)?,
            b'M' => self.int(2)?,
            0x8a => {
                let count = self.input.byte()?;
                self.long(count.into())?;
            }
            0x8b => {
                let count = u32::from_le_bytes(self.input.array()?);
                self.long(count.into())?;
            }
            b'G' => {
                self.input.array::<8>()?;
                self.stack.push(Value::Float);
            }

            b'U' | 0x8c => self.text(1)?,
            b'T' | b'X' => self.text(4)?,
            0x8d => self.text(8)?,
            b'C' => self.raw(1)?,
            b'B' => self.raw(4)?,
            0x8e | 0x96 => self.raw(8)?,

            b')' => self.tuple(0)?,
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b't' => {
                let values = self.pop_mark()?;
                let tuple = self.heap.new_tuple(values)?;
                self.stack.push(tuple);
            }
            // Of a set only the elements matter here, and a frozen set is built at once.
            b']' | 0x8f => self.list(Vec::new())?,
            b'l' | 0x91 => {
                let values = self.pop_mark()?;
                self.list(values)?;
            }
            b'a' => {
                let value = self.pop()?;
                self.append(vec![value])?;
            }
            b'e' | 0x90 => {
                let values = self.pop_mark()?;
                self.append(values)?;
            }
            b'}' => {
                let dict = self.heap.new_dict()?;
                self.stack.push(dict);
            }
            b'd' => {
                let values = self.pop_mark()?;
                let dict = self.heap.new_dict()?;
                self.stack.push(dict);
                self.set(&values)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(&[key, value])?;
            }
            b'u' => {
                let values = self.pop_mark()?;
                self.set(&values)?;
            }

            b'h' => {
                let index = self.input.byte()?;
                self.get(index.into())?;
            }
            b'j' => {
                let index = u32::from_le_bytes(self.input.array()?);
                self.get(index as usize)?;
            }
            b'q' => {
                let index = self.input.byte()?;
                self.put(index.into())?;
            }
            b'r' => {
                let index = u32::from_le_bytes(self.input.array()?);
                self.put(index as usize)?;
            }
            0x94 => self.put(self.memoised)?,

            b'c' => {
                let module = self.input.line()?;
                let name = self.input.line()?;
                self.class(&module, &name)?;
            }
            0x93 => {
                let name = self.pop_text()?;
                let module = self.pop_text()?;
                let [module, name] = [module, name].map(|id| self.heap.text(id).to_owned());
                self.class(&module, &name)?;
            }
            b'Q' => {
                let id = self.pop()?;
                let storage =
                    build::storage(self.heap, id).map_err(|reason| self.input.fault(reason))?;
                let storage = self.heap.new_storage(storage)?;
                self.stack.push(storage);
            }
            b'R' => {
                let arguments = self.pop()?;
                let class = self.pop()?;
                let object = build::call(self.heap, class, arguments, |r| self.input.fault(r))?;
                self.stack.push(object);
            }
            // The attributes of an ordered dictionary, such as the versions of a state dict.
            b'b' => {
                self.pop()?;
                let Value::Dict(_) = self.top()? else {
                    return Err(self.input.fault("attributes of an object without any"));
                };
            }
            opcode => {
                let at = self.input.at() - 1;
                return Err(Error::Opcode { opcode, at });
            }
        }
        Ok(())
    }

    /// A little-endian integer of this many bytes; one of four is signed.
    fn int(&mut self, bytes: u8) -> Result<()> {
        let int = match bytes {
            1 => self.input.byte()?.into(),
            2 => u16::from_le_bytes(self.input.array()?).into(),
            _ => i32::from_le_bytes(self.input.array()?).into(),
        };
        self.stack.push(Value::Int(int));
        Ok(())
    }

    /// A signed integer of any number of bytes.
    fn long(&mut self, count: u64) -> Result<()> {
        let value = if count > MAGIC.len() as u64 {
            self.input.skip(count)?;
            Value::Long
        } else {
            let bytes = self.input.bytes(count)?;
            if bytes == MAGIC {
                Value::Magic
            } else if bytes.len() > 8 {
                Value::Long
            } else {
                let sign = if bytes.last().is_some_and(|&byte| byte >= 0x80) {
                    0xff
                } else {
                    0
                };
                let mut word = [sign; 8];
                word[..bytes.len()].copy_from_slice(&bytes);
                Value::Int(i64::from_le_bytes(word))
            }
        };
        self.stack.push(value);
        Ok(())
    }

    /// A length of this many bytes.
    fn length(&mut self, bytes: u8) -> Result<u64> {
        Ok(match bytes {
            1 => self.input.byte()?.into(),
            4 => u32::from_le_bytes(self.input.array()?).into(),
            _ => u64::from_le_bytes(self.input.array()?),
        })
    }

    /// A text behind its length.
    fn text(&mut self, bytes: u8) -> Result<()> {
        let count = self.length(bytes)?;
        self.heap
            .check(usize::try_from(count).unwrap_or(usize::MAX))?;
        let bytes = self.input.bytes(count)?;
        let text = self.input.text(bytes)?;
        let text = self.heap.new_text(text)?;
        self.stack.push(text);
        Ok(())
    }

    /// Bytes behind their length. They are never a part of a tensor, so they are not kept.
    fn raw(&mut self, bytes: u8) -> Result<()> {
        let count = self.length(bytes)?;
        self.input.skip(count)?;
        self.stack.push(Value::Bytes);
        Ok(())
    }

    fn tuple(&mut self, count: usize) -> Result<()> {
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            values.push(self.pop()?);
        }
        values.reverse();
        let tuple = self.heap.new_tuple(values)?;
        self.stack.push(tuple);
        Ok(())
    }

    fn list(&mut self, values: Vec<Value>) -> Result<()> {
        let list = self.heap.new_list()?;
        self.stack.push(list);
        self.append(values)
    }

    /// Appends to the list on top.
    fn append(&mut self, values: Vec<Value>) -> Result<()> {
        match self.top()? {
            Value::List(list) => self.heap.append(list, values),
            _ => Err(self.input.fault("elements of a value that is not a list")),
        }
    }

    /// Adds keys and values, which alternate, to the dictionary on top.
    fn set(&mut self, values: &[Value]) -> Result<()> {
        let Value::Dict(dict) = self.top()? else {
            return Err(self
                .input
                .fault("entries of a value that is not a dictionary"));
        };
        let (pairs, rest) = values.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.input.fault("a key without a value"));
        }
        let entries = pairs.iter().map(|&[key, value]| (key, value));
        self.heap.set(dict, entries.collect())
    }

    fn get(&mut self, index: usize) -> Result<()> {
        let value = self.memo.get(index).copied().flatten();
        let value = value.ok_or_else(|| self.input.fault("a value that was never stored"))?;
        self.stack.push(value);
        Ok(())
    }

    /// Stores the value on top under this index.
    fn put(&mut self, index: usize) -> Result<()> {
        let value = self.top()?;
        if index >= self.memo.len() {
            let more = index - self.memo.len() + 1;
            // Indices ascend, so the vector doubles.
            self.heap
                .charge(more.saturating_mul(2 * size_of::<Option<Value>>()))?;
            self.memo.resize(index + 1, None);
        }
        if let Some(place) = self.memo.get_mut(index) {
            self.memoised += usize::from(place.is_none());
            *place = Some(value);
        }
        Ok(())
    }

    /// The top of the stack, which belongs to the innermost unfinished container.
    fn top(&self) -> Result<Value> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let top = self.stack.get(floor..).and_then(|stack| stack.last());
        top.copied()
            .ok_or_else(|| self.input.fault("a value is missing"))
    }

    fn pop(&mut self) -> Result<Value> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_text(&mut self) -> Result<Id> {
        match self.pop()? {
            Value::Text(id) => Ok(id),
            _ => Err(self.input.fault("a name that is not a text")),
        }
    }

    /// The values since the last mark.
    fn pop_mark(&mut self) -> Result<Vec<Value>> {
        let mark = self.marks.pop();
        let mark = mark.filter(|&mark| mark <= self.stack.len());
        let mark =
            mark.ok_or_else(|| self.input.fault("the end of a container without a start"))?;
        Ok(self.stack.split_off(mark))
    }

    /// Pushes what a permitted name stands for.
    fn class(&mut self, module: &str, name: &str) -> Result<()> {
        if let Some(class) = Class::named(module, name) {
            self.stack.push(Value::Class(class));
            return Ok(());
        }
        let full = show::beginning(&format!("{module}.{name}"), 200);
        if module.starts_with("__torch__") {
            return Err(Error::TorchScript);
        }
        // A module is the whole file, or an entry of a checkpoint such as "model". In old files its
        // class comes with its source, behind the text "module".
        let (may_be_module, may_have_source) = match self.stack.last() {
            None => (true, false),
            Some(&Value::Text(key)) => {
                let key = self.heap.text(key);
                (state_dict::is_usual_key(key), key == "module")
            }
            Some(_) => (false, false),
        };
        let is_module = match self.opcode_behind_put() {
            Some(b')') => may_be_module && self.input.byte().is_ok_and(|next| next == 0x81),
            Some(b'X') => may_have_source,
            _ => false,
        };
        if module.starts_with("torch.nn.") || is_module {
            return Err(Error::WholeModule { class: full });
        }
        Err(Error::Global { name: full })
    }

    /// The next opcode that does not store the top of the stack. It is consumed, since an error
    /// follows in any case.
    fn opcode_behind_put(&mut self) -> Option<u8> {
        let index_bytes = match self.input.byte().ok()? {
            b'q' => 1,
            b'r' => 4,
            0x94 => 0,
            other => return Some(other),
        };
        self.input.skip(index_bytes).ok()?;
        self.input.byte().ok()
    }
}

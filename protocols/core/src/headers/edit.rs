//! Changing fields. Every way in checks what it is given.

use super::field::{check_value, checked};
use super::{FieldName, Headers, InvalidField, Span};
use crate::text::{IpText, NumberText};
use crate::well_known::{HeaderId, HeaderSet};

impl Headers {
    /// Adds a field behind the others.
    pub fn append(&mut self, name: &[u8], value: &[u8]) -> Result<(), InvalidField> {
        let id = checked(name, value)?;
        self.store_mut().push_line(id, name, value);
        Ok(())
    }

    /// Sets a field: the first of that name keeps its place and its case, further ones go.
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), InvalidField> {
        let id = checked(name, value)?;
        self.store_mut().set(id, name, value);
        Ok(())
    }

    /// The same as [`Headers::set`], with a name that needs no check any more.
    #[inline]
    pub fn put(&mut self, name: &FieldName, value: &[u8]) -> Result<(), InvalidField> {
        check_value(value)?;
        self.store_mut().set(name.id, name.text.as_bytes(), value);
        Ok(())
    }

    /// The same, with an address.
    #[inline]
    pub fn put_ip(&mut self, name: &FieldName, address: &IpText) {
        self.store_mut().set(name.id, name.text.as_bytes(), address.bytes());
    }

    /// The same, with a number.
    #[inline]
    pub fn put_number(&mut self, name: &FieldName, number: &NumberText) {
        self.store_mut().set(name.id, name.text.as_bytes(), number.bytes());
    }

    /// The same, with a value that lies in the arena already.
    pub fn put_span(&mut self, name: &FieldName, value: Span) -> Result<(), InvalidField> {
        check_value(self.text(value))?;
        let store = self.store_mut();
        if let (None, Some(_)) = (store.position(name.id, name.text.as_bytes()), name.id) {
            let name_span = store.intern(name.text.as_bytes());
            store.arena.extend_from_slice(b": ");
            let start = store.arena.len() as u32;
            let from = value.start as usize;
            store.arena.extend_from_within(from..from + value.len());
            store.arena.extend_from_slice(b"\r\n");
            store.push(name.id, name_span, Span { start, len: value.len }, true);
            return Ok(());
        }
        let value = store.text(value).to_vec();
        store.set(name.id, name.text.as_bytes(), &value);
        Ok(())
    }

    /// Removes every field of that name and returns how many there were.
    pub fn remove(&mut self, name: &[u8]) -> usize {
        let id = HeaderId::of(name);
        let store = self.store_mut();
        if id.is_some_and(|id| !store.present.contains(id)) {
            return 0;
        }
        let mut removed = 0;
        for i in 0..store.entries.len() {
            if store.matches(i, name) {
                store.entries[i].live = false;
                removed += 1;
            }
        }
        if let Some(id) = id {
            store.present = store.present.without(id);
        }
        store.live -= removed;
        removed
    }

    /// Removes every field of these names.
    pub fn remove_known(&mut self, ids: HeaderSet) {
        let store = self.store_mut();
        if !store.present.intersects(ids) {
            return;
        }
        for entry in &mut store.entries {
            if entry.live && entry.id.is_some_and(|id| ids.contains(id)) {
                entry.live = false;
                store.live -= 1;
            }
        }
        store.present = store.present.less(ids);
    }

    /// Removes every field for which `keep` says no.
    pub fn retain(&mut self, mut keep: impl FnMut(Option<HeaderId>, &[u8], &[u8]) -> bool) {
        let store = self.store_mut();
        for i in 0..store.entries.len() {
            let entry = store.entries[i];
            if entry.live && !keep(entry.id, store.text(entry.name), store.text(entry.value)) {
                store.entries[i].live = false;
                store.live -= 1;
                if let Some(id) = entry.id
                    && store.slot(id) == Some(i)
                {
                    store.vacate(id, i);
                }
            }
        }
    }
}

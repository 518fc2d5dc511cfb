//! The memory accountant: one budget over everything that grows (reliability contract P9, L30).
//!
//! Big buffers are charged before they exist. A [`Charge`] gives its bytes back when dropped, so
//! that an error path cannot leak budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Who holds memory. The order is that of the `/metrics` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// Series, index and chunks of the head.
    Head,
    /// Log buffers and rows in flight.
    Wal,
    /// Request bodies and what is decoded from them.
    Requests,
    /// Query evaluation.
    Queries,
    /// Caches that can be dropped, mapped files among them.
    Caches,
    /// Flush, compaction, checkpoint and replay.
    Compaction,
    /// What the kernel shows and no other account knows of: memory that the allocator keeps, stacks, the
    /// directories of open blocks.
    Overhead,
}

/// All accounts.
pub const ACCOUNTS: [Account; 7] = [
    Account::Head,
    Account::Wal,
    Account::Requests,
    Account::Queries,
    Account::Caches,
    Account::Compaction,
    Account::Overhead,
];

impl Account {
    /// The name in metrics and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Wal => "wal",
            Self::Requests => "requests",
            Self::Queries => "queries",
            Self::Caches => "caches",
            Self::Compaction => "compaction",
            Self::Overhead => "overhead",
        }
    }
}

/// The budget, or a part of it, has no room for a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "memory budget{} exhausted: {wanted} bytes wanted for {}, {used} of {limit} bytes in use",
    if *.is_part { format!(" of all {} together", .account.as_str()) } else { String::new() },
    .account.as_str()
)]
pub struct OverBudget {
    /// Who asked.
    pub account: Account,
    /// Bytes asked for.
    pub wanted: u64,
    /// Bytes in use over all accounts, or by the account where it has a part of its own.
    pub used: u64,
    /// The limit that would be passed.
    pub limit: u64,
    /// Whether it is the account's own.
    pub is_part: bool,
}

#[derive(Debug)]
struct Shared {
    limit: u64,
    /// What the account of queries may have of it.
    queries_limit: AtomicU64,
    used: AtomicU64,
    by_account: [AtomicU64; ACCOUNTS.len()],
}

/// The one budget of a process; clones share it.
#[derive(Debug, Clone)]
pub struct Accountant(Arc<Shared>);

impl Accountant {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self(Arc::new(Shared {
            limit,
            queries_limit: AtomicU64::new(u64::MAX),
            used: AtomicU64::new(0),
            by_account: Default::default(),
        }))
    }

    /// From now on all queries together may have `bytes` of the budget (limit L20).
    pub fn limit_queries(&self, bytes: u64) {
        self.0.queries_limit.store(bytes, Ordering::Relaxed);
    }

    /// A budget that is never exhausted, for tests and tools.
    pub fn unlimited() -> Self {
        Self::new(u64::MAX)
    }

    /// The limit in bytes.
    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    /// Bytes charged now, over all accounts.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Bytes charged now to one account.
    pub fn used_by(&self, account: Account) -> u64 {
        self.0.by_account[account as usize].load(Ordering::Relaxed)
    }

    /// Bytes that are not in use.
    pub fn left(&self) -> u64 {
        self.0.limit.saturating_sub(self.used())
    }

    /// Share of the budget in use, in per cent; the thresholds of the pressure policy compare
    /// against this.
    pub fn used_percent(&self) -> u64 {
        u64::try_from(u128::from(self.used()) * 100 / u128::from(self.0.limit.max(1)))
            .unwrap_or(u64::MAX)
    }

    /// Charges `bytes` to `account` until the result is dropped.
    ///
    /// # Errors
    /// [`OverBudget`] if the limit would be passed; nothing is charged then.
    pub fn charge(&self, account: Account, bytes: u64) -> Result<Charge, OverBudget> {
        let mut charge = Charge { accountant: self.clone(), account, bytes: 0 };
        charge.grow(bytes)?;
        Ok(charge)
    }

    /// Takes note of what the kernel shows: `anonymous` bytes of memory, and `mapped` bytes of files. What
    /// the accounts do not explain becomes [`Account::Overhead`], so that the bytes in use are never fewer
    /// than the kernel shows; the mapped ones are [`Account::Caches`]. For one owner, who calls it often.
    pub fn note_resident(&self, anonymous: u64, mapped: u64) {
        let known = self
            .used()
            .saturating_sub(self.used_by(Account::Overhead))
            .saturating_sub(self.used_by(Account::Caches));
        self.set(Account::Overhead, anonymous.saturating_sub(known));
        self.set(Account::Caches, mapped);
    }

    fn set(&self, account: Account, bytes: u64) {
        let before = self.0.by_account[account as usize].swap(bytes, Ordering::Relaxed);
        // Two's complement: adding a negative number wraps to the right result.
        self.0.used.fetch_add(bytes.wrapping_sub(before), Ordering::Relaxed);
    }

    /// A charge that may pass the limit: for memory that exists already (the head after replay)
    /// and for the paths that give memory back.
    pub fn charge_always(&self, account: Account, bytes: u64) -> Charge {
        self.0.used.fetch_add(bytes, Ordering::Relaxed);
        self.0.by_account[account as usize].fetch_add(bytes, Ordering::Relaxed);
        Charge { accountant: self.clone(), account, bytes }
    }
}

/// Bytes held in an account; dropping gives them back.
#[derive(Debug)]
pub struct Charge {
    accountant: Accountant,
    account: Account,
    bytes: u64,
}

impl Charge {
    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Holds `more` bytes in addition.
    ///
    /// # Errors
    /// [`OverBudget`] if the limit would be passed; the charge is then unchanged.
    pub fn grow(&mut self, more: u64) -> Result<(), OverBudget> {
        let shared = &self.accountant.0;
        let account = &shared.by_account[self.account as usize];
        let part = match self.account {
            Account::Queries => shared.queries_limit.load(Ordering::Relaxed),
            _ => u64::MAX,
        };
        let over = |used, limit, is_part| OverBudget {
            account: self.account,
            wanted: more,
            used,
            limit,
            is_part,
        };
        let in_part = account.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(more).filter(|sum| *sum <= part)
        });
        in_part.map_err(|used| over(used, part, true))?;
        let fits = shared.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(more).filter(|sum| *sum <= shared.limit)
        });
        match fits {
            Ok(_) => {
                self.bytes += more;
                Ok(())
            }
            Err(used) => {
                account.fetch_sub(more, Ordering::Relaxed);
                Err(over(used, shared.limit, false))
            }
        }
    }

    /// Sets the charge to `bytes`, past the limit if need be: for a structure that reports its
    /// size after the fact.
    pub fn set_always(&mut self, bytes: u64) {
        let shared = &self.accountant.0;
        let account = &shared.by_account[self.account as usize];
        if bytes >= self.bytes {
            shared.used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
            account.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            shared.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
            account.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set_always(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_shows_beyond_the_charges_is_in_use_too() {
        let memory = Accountant::new(100);
        let head = memory.charge(Account::Head, 30).unwrap();
        memory.note_resident(50, 7);
        let by = |account| memory.used_by(account);
        assert_eq!((by(Account::Overhead), by(Account::Caches), memory.used()), (20, 7, 57));
        assert!(memory.charge(Account::Queries, 44).is_err());
        // Freed, and kept by the allocator.
        drop(head);
        memory.note_resident(50, 0);
        assert_eq!((by(Account::Overhead), by(Account::Caches), memory.used()), (50, 0, 50));
        // Charged, and not touched yet.
        let _wanted = memory.charge(Account::Queries, 40).unwrap();
        memory.note_resident(10, 0);
        assert_eq!((by(Account::Overhead), memory.used()), (0, 40));
    }

    #[test]
    fn queries_together_have_a_part_of_the_budget() {
        let memory = Accountant::new(100);
        memory.limit_queries(25);
        let first = memory.charge(Account::Queries, 20).unwrap();
        let err = memory.charge(Account::Queries, 6).unwrap_err();
        assert_eq!((err.used, err.limit, err.is_part), (20, 25, true));
        assert_eq!(
            err.to_string(),
            "memory budget of all queries together exhausted: 6 bytes wanted for queries, 20 of 25 bytes in use"
        );
        let _other = memory.charge(Account::Requests, 75).unwrap();
        let second = memory.charge(Account::Queries, 5).unwrap();
        drop(second);
        memory.limit_queries(90);
        let err = memory.charge(Account::Queries, 6).unwrap_err();
        assert_eq!((err.used, err.limit, err.is_part), (95, 100, false));
        drop(first);
        assert_eq!((memory.used_by(Account::Queries), memory.used()), (0, 75));
    }

    #[test]
    fn a_charge_is_refused_past_the_limit_and_given_back_on_drop() {
        let memory = Accountant::new(100);
        let mut a = memory.charge(Account::Head, 60).unwrap();
        let err = memory.charge(Account::Queries, 41).unwrap_err();
        assert_eq!((err.wanted, err.used, err.limit), (41, 60, 100));
        let b = memory.charge(Account::Queries, 40).unwrap();
        assert_eq!(
            (memory.used(), memory.used_by(Account::Queries), memory.used_percent()),
            (100, 40, 100)
        );
        assert!(a.grow(1).is_err());
        drop(b);
        a.grow(1).unwrap();
        a.set_always(10);
        assert_eq!(memory.used(), 10);
        drop(a);
        assert_eq!((memory.used(), memory.used_by(Account::Head)), (0, 0));
    }
}

//! At which Rényi orders an accountant looks.

use crate::error::AccountingError;

/// The orders over which the best bound is taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Orders(Choice);

#[derive(Clone, Debug, PartialEq)]
enum Choice {
    Best,
    List(Vec<f64>),
}

impl Orders {
    /// The best real order, found by minimising: no list, never worse than any list.
    ///
    /// Where the curve is smooth the bound as a function of `α − 1` is a convex function
    /// divided by its argument, which has one valley, so that the search cannot end in a
    /// wrong one. Where it is made of pieces, as for subsets of fixed size, there are many: the orders
    /// of the two lists below are tried as well, so that it is never worse than these.
    #[must_use]
    pub fn best() -> Self {
        Self(Choice::Best)
    }

    /// The list of the tutorial "Differential Privacy in TFF": 1.25 to 2.5 by quarters without
    /// 2.75, 3 to 4.5 by halves, whole numbers 5 to 63, then 128, 256 and 512.
    #[must_use]
    pub fn tutorial() -> Self {
        let mut orders = vec![1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0, 3.5, 4.0, 4.5];
        orders.extend((5..64_u32).map(f64::from));
        orders.extend([128.0, 256.0, 512.0]);
        Self(Choice::List(orders))
    }

    /// The list that Python libraries use by default today: 1.1 to 10.9 by tenths, whole
    /// numbers 11 to 63, then 128, 256, 512 and 1024.
    #[must_use]
    pub fn tenths() -> Self {
        let mut orders: Vec<f64> = (11..110_u32).map(|tenth| f64::from(tenth) / 10.0).collect();
        orders.extend((11..64_u32).map(f64::from));
        orders.extend([128.0, 256.0, 512.0, 1024.0]);
        Self(Choice::List(orders))
    }

    /// Any list, tried in its order; the first of equal bounds is reported.
    ///
    /// # Errors
    /// [`AccountingError::BadOrders`] if the list is empty or an order is not a finite number
    /// above 1.
    pub fn list(orders: Vec<f64>) -> Result<Self, AccountingError> {
        if !orders.is_empty() && orders.iter().all(|&order| order > 1.0 && order.is_finite()) {
            Ok(Self(Choice::List(orders)))
        } else {
            Err(AccountingError::BadOrders(orders))
        }
    }

    /// The list, or nothing if the best real order is looked for.
    #[must_use]
    pub fn as_list(&self) -> Option<&[f64]> {
        match &self.0 {
            Choice::Best => None,
            Choice::List(orders) => Some(orders),
        }
    }
}

impl Default for Orders {
    fn default() -> Self {
        Self::best()
    }
}

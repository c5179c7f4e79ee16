//! One ledger, priced by every accountant.

use dp_accounting::rdp::{Conversion, Orders, RdpAccountant, RdpEpsilon};
use dp_accounting::verify::{self, Statement, VerifyError};
use dp_accounting::{
    Accountant, AccountingError, Delta, EpsilonInterval, ExactAccountant, Ledger, Neighboring,
    PldAccountant,
};

use super::source::{Case, Question};
use crate::failure::Failure;

/// What the accountants say of one case.
pub(super) struct Prices {
    /// The classic conversion, over the orders of the question.
    pub(super) classic: RdpEpsilon,
    /// The improved conversion, over the same orders.
    pub(super) improved: RdpEpsilon,
    /// The improved conversion at the best real order.
    pub(super) best: RdpEpsilon,
    /// Between which bounds the truth lies, or why the exact accountant does not say.
    pub(super) exact: Result<EpsilonInterval, AccountingError>,
    /// The same by privacy losses on a grid, where the exact accountant has no answer.
    pub(super) grid: Option<EpsilonInterval>,
    /// Whether data are released without noise, and there is no guarantee for that reason.
    pub(super) unprotected: bool,
}

impl Prices {
    /// The narrowest interval there is.
    pub(super) fn interval(&self) -> Option<EpsilonInterval> {
        self.exact.as_ref().ok().copied().or(self.grid)
    }

    /// That all of them have a point in common: different mathematics and different code cannot
    /// both be right where they have none.
    fn agree(&self) -> Result<(), VerifyError> {
        let bounds = [self.classic, self.improved, self.best].map(|rdp| rdp.epsilon);
        let said = |accountant, interval| Statement { accountant, interval: Ok(interval) };
        let renyi = bounds.map(|upper| said("RDP", EpsilonInterval::at_most(upper)));
        let tight = self.interval().map(|interval| said("exact", interval));
        verify::agree(renyi.into_iter().chain(tight).collect()).map(|_| ())
    }

    /// Whether the exact interval had to be wider than was asked.
    pub(super) fn is_wider_than(&self, width: f64) -> bool {
        self.exact.as_ref().is_ok_and(|found| {
            let (lower, upper) = (found.lower_or_zero().get(), found.upper.get());
            upper.is_finite() && upper - lower > width * (1.0 + 1e-6)
        })
    }

    /// The least upper bound of all.
    pub(super) fn least(&self) -> f64 {
        let bounds = [self.classic, self.improved, self.best].map(|rdp| rdp.epsilon.get());
        let tight = self.interval().map_or(f64::INFINITY, |found| found.upper.get());
        bounds.into_iter().fold(tight, f64::min)
    }
}

/// The widest interval that is taken where the one that was asked for is out of reach.
const WIDEST: f64 = 1e-3;

/// The accountants of a question.
pub(super) struct Accountants {
    relation: Neighboring,
    delta: Delta,
    orders: Orders,
    exact: ExactAccountant,
}

impl Accountants {
    /// Empty accountants; intervals are at most `width` wide.
    pub(super) fn new(question: &Question, width: f64) -> Result<Self, Failure> {
        Ok(Self {
            relation: question.relation,
            delta: question.delta,
            orders: question.orders.clone(),
            exact: ExactAccountant::new(question.relation)
                .with_width(width)
                .and_then(|exact| exact.with_widest(WIDEST))
                .map_err(Failure::usage)?,
        })
    }

    /// All prices of a case, which must not contradict each other.
    pub(super) fn price(&self, case: &Case) -> Result<Prices, Failure> {
        let found = self.ledger(&case.ledger);
        let prices = found.map_err(|error| refusal(&error, self.relation, &case.label))?;
        prices.agree().map_err(|error| Failure::failed(format_args!("{}: {error}", case.label)))?;
        Ok(prices)
    }

    /// All prices of a ledger.
    pub(super) fn ledger(&self, ledger: &Ledger) -> Result<Prices, AccountingError> {
        let renyi = |orders: Orders, conversion| {
            let mut accountant =
                RdpAccountant::new(self.relation).with_orders(orders).with_conversion(conversion);
            ledger.replay(&mut accountant)?;
            Ok::<_, AccountingError>(accountant.epsilon_and_order(self.delta))
        };
        let improved = renyi(self.orders.clone(), Conversion::Improved)?;
        let mut all = RdpAccountant::new(self.relation);
        ledger.replay(&mut all)?;
        let exact = self.interval(self.exact.clone(), ledger);
        let grid = match &exact {
            Ok(_) => None,
            Err(_) => {
                let grid = PldAccountant::new(self.relation).with_points(1 << 17);
                self.interval(grid, ledger).ok()
            }
        };
        Ok(Prices {
            classic: renyi(self.orders.clone(), Conversion::Classic)?,
            improved,
            best: renyi(Orders::best(), Conversion::Improved)?,
            exact,
            grid,
            unprotected: all.is_unprotected(),
        })
    }

    fn interval(
        &self,
        mut accountant: impl Accountant,
        ledger: &Ledger,
    ) -> Result<EpsilonInterval, AccountingError> {
        ledger.replay(&mut accountant)?;
        accountant.epsilon_interval(self.delta)
    }
}

/// Why nobody has a price, and what may help.
fn refusal(error: &AccountingError, relation: Neighboring, label: &str) -> Failure {
    let help = match (error, relation) {
        (AccountingError::Unsupported { .. }, Neighboring::AddOrRemoveOne) => {
            "; subsets of fixed size and randomised response have a price under --relation \
             replace, trees under --relation zero-out"
        }
        (AccountingError::Unsupported { .. }, _) => "; another --relation may have one",
        _ => "",
    };
    Failure::bad_input(format_args!("{label} has no price: {error}{help}"))
}

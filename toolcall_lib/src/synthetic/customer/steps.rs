//! The calls about payments, each with the sentence that reports it.

use crate::synthetic::rows::{Answered, Dialogue, answered};
use serde_json::json;

/// A call and the sentence that reports it.
pub(super) struct Step {
    pub(super) answered: Answered,
    pub(super) reply: String,
}

impl Step {
    pub(super) fn paid(amount: u32, date: &str) -> Self {
        let arguments = [("paidAmount", json!(amount)), ("paidDate", json!(date))];
        Self {
            answered: answered("Already_Paid", &arguments, format!("noted: ${amount} on {date}")),
            reply: format!("Thank you. I noted your payment of ${amount} on {date}."),
        }
    }

    pub(super) fn pay_now(amount: u32, method: Method) -> Self {
        let arguments = [
            ("payNowAmount", json!(amount)),
            ("paymentMethod", json!(method.value)),
        ];
        Self {
            answered: answered("Pay_Now", &arguments, "started"),
            reply: format!(
                "Thank you. Your payment of ${amount} {} is under way.",
                method.said
            ),
        }
    }

    pub(super) fn promise(amount: u32, date: &str) -> Self {
        let arguments = [("promiseAmount", json!(amount)), ("promiseDate", json!(date))];
        Self {
            answered: answered(
                "Promise_Payment",
                &arguments,
                format!("noted: ${amount} by {date}"),
            ),
            reply: format!("Thank you. I noted your promise to pay ${amount} by {date}."),
        }
    }

    pub(super) fn hardship() -> Self {
        let reply = "I am sorry to hear that. I noted your hardship, and we will look for a solution.";
        Self {
            answered: answered("Hardship", &[], "noted"),
            reply: reply.into(),
        }
    }

    pub(super) fn agent() -> Self {
        let reply = "I am connecting you with an agent.";
        Self {
            answered: answered("Speak_With_An_Agent", &[], "connecting"),
            reply: reply.into(),
        }
    }

    pub(super) fn after(self, dialogue: Dialogue) -> Dialogue {
        dialogue.calls(vec![self.answered]).says(self.reply)
    }
}

/// A way to pay: how it is said, and the value of the enum.
#[derive(Clone, Copy, Default)]
pub(super) struct Method {
    pub(super) said: &'static str,
    pub(super) value: &'static str,
}

pub(super) const METHODS: [Method; 3] = [
    Method {
        said: "by card",
        value: "card",
    },
    Method {
        said: "by bank transfer",
        value: "bank_transfer",
    },
    Method {
        said: "over the phone",
        value: "voice_call",
    },
];

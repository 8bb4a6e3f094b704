//! What customers say about payments: wordings to train on, and others that are held out.

use crate::synthetic::draw::Pool;

pub(super) const MONTHS: Pool = Pool {
    train: "2025-07 / 2025-09 / 2025-10",
    held_out: "2025-05 / 2025-11 / 2026-02",
};

pub(super) const PAID: Pool = Pool {
    train: "I already paid {amount} on {date}. / I paid {amount} on {date}. / On {date} I sent you {amount}. / \
            My payment of {amount} went out on {date}. / You got {amount} from me on {date}. / \
            I have already transferred {amount}, on {date}.",
    held_out: "The {amount} left my account on {date}. / Didn't you see the {amount} that I sent on {date}? / \
               I settled {amount} on {date}.",
};

pub(super) const PAY_NOW: Pool = Pool {
    train: "I can pay {amount} today {method}. / I want to pay {amount} {method}. / \
            Take {amount} {method}, please. / I would like to pay {amount} now, {method}. / \
            Can I pay {amount} {method} right now?",
    held_out: "Let me pay {amount} {method} at once. / I am ready to pay {amount} {method}. / \
               Please charge {amount}, {method}.",
};

pub(super) const HARDSHIP: Pool = Pool {
    train: "I can't pay anything this month. {reason} / I have no money to pay. {reason} / \
            {reason} I can't pay right now. / Sorry, I can't pay. {reason}",
    held_out: "There is no way that I can pay. {reason} / {reason} Paying is impossible for me.",
};

pub(super) const REASONS: Pool = Pool {
    train: "I lost my job. / I am ill. / My husband died. / My shop is closed. / My hours were cut. / \
            I was in an accident. / My child is ill. / I had a big hospital bill.",
    held_out: "My house burned down. / I was fired last week. / I am in the hospital. / My company is bankrupt.",
};

pub(super) const AGENT: Pool = Pool {
    train: "I want to talk to someone. / Connect me with an agent. / I want to speak to a human. / \
            Can I talk to a person? / Let me speak with somebody. / I need a real person. / \
            Give me a human agent, please. / I don't want to talk to a machine. / Is there a person I can talk to? / \
            I would like to speak with an employee. / Please transfer me to an agent. / \
            I need to discuss this with a human. / Put me through to your staff. / Get me an agent. / \
            Could somebody call me? / I want to speak to your manager.",
    held_out: "Can a human help me? / Hand me over to an agent. / I only talk to people. / \
               Representative, please. / May I speak with someone from your team?",
};

pub(super) const PROMISE: Pool = Pool {
    train: "I can promise to pay {amount} on {date}. / I will pay {amount} on {date}. / \
            I promise {amount} for {date}. / You will get {amount} on {date}. / \
            I can pay {amount} later, on {date}.",
    held_out: "Expect {amount} from me on {date}. / By {date} you will have {amount}. / \
               I commit to {amount} on {date}.",
};

pub(super) const PROMISE_WHEN: Pool = Pool {
    train: "I can promise to pay {amount} {when}. / I will pay {amount} {when}. / You will get {amount} {when}.",
    held_out: "Expect {amount} from me {when}. / I commit to {amount} {when}.",
};

/// Days are 1 in months that begin on a Monday.
pub(super) const TODAY: [(&str, usize); 3] = [("2025-09", 3), ("2025-09", 12), ("2025-09", 22)];
pub(super) const HELD_OUT_TODAY: [(&str, usize); 2] = [("2025-12", 9), ("2026-06", 19)];
pub(super) const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

pub(super) const AGREED: Pool = Pool {
    train: "Sure, make it $25. / Yes, $25 is fine. / Yes, please. / OK, $25 then.",
    held_out: "All right, let it be $25. / I agree to $25.",
};
pub(super) const AGREED_AMOUNT: Pool = Pool {
    train: "I can even pay {amount}. / Then make it {amount}.",
    held_out: "{amount} would work for me.",
};
pub(super) const REFUSED: Pool = Pool {
    train: "No, I can't pay that much. / No. / That is too much for me.",
    held_out: "I don't have $25.",
};

pub(super) const PAY_NO_METHOD: Pool = Pool {
    train: "I want to pay {amount} now. / I can pay {amount} today.",
    held_out: "Let me pay {amount} at once.",
};
pub(super) const METHOD_ANSWERS: Pool = Pool {
    train: "{method}. / {method}, please.",
    held_out: "I pay {method}.",
};
pub(super) const PAID_NO_AMOUNT: Pool = Pool {
    train: "I already paid on {date}. / I made a payment on {date}.",
    held_out: "My money left on {date}.",
};
pub(super) const PROMISE_NO_DATE: Pool = Pool {
    train: "I will pay {amount} later. / I promise to pay {amount}.",
    held_out: "I commit to {amount}.",
};

pub(super) const PAID_AND_PROMISE: Pool = Pool {
    train: "I paid {paid} on {day} and will pay {rest} on {date}. / \
            I already paid {paid} on {day}. The other {rest} I promise for {date}.",
    held_out: "{paid} went out on {day}, and {rest} will follow on {date}.",
};

pub(super) const ERRORS: Pool = Pool {
    train: "the payment was declined / the payment service does not answer",
    held_out: "the limit of the account is reached",
};

/// Sentences about payments that ask for nothing a tool does.
pub(super) const REMARKS: Pool = Pool {
    train: "Why is my bill so high? / I don't remember this bill. / What happens if I don't pay? / \
            When was my last payment due? / I never got a letter from you. / How much do I owe? / \
            Your letters are hard to read. / My brother pays his bills with you, too.",
    held_out: "What is this bill for? / Where does this amount come from? / Is there a fee? / \
               I moved to another city.",
};

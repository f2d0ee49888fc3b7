#include "subscribers/delayed/risk/alert.hpp"

#include "schemas/text.hpp"

namespace millrace::delayed::risk {

void write(const Alert& alert, schemas::RiskAlert& event) {
  schemas::set_text(event.mutable_account(), alert.account);
  schemas::set_text(event.mutable_instrument(), alert.instrument);
  event.mutate_limit_kind(alert.kind);
  event.mutate_state(alert.state);
  event.mutate_reason(alert.reason);
  event.mutate_value(alert.value);
  event.mutate_limit(alert.limit);
  event.mutate_scale(alert.scale);
  schemas::set_text(event.mutable_input(), alert.input);
  schemas::set_text(event.mutable_publisher(), alert.publisher);
  event.mutate_trades_end(alert.trades_end.value());
  event.mutate_books_end(alert.books_end.value());
  event.mutate_accounts_end(alert.accounts_end.value());
  event.mutate_input_time(alert.input_time.ns);
}

Alert read(const schemas::RiskAlert& event) {
  Alert alert;
  alert.account = schemas::text(event.account());
  alert.instrument = schemas::text(event.instrument());
  alert.kind = event.limit_kind();
  alert.state = event.state();
  alert.reason = event.reason();
  alert.value = event.value();
  alert.limit = event.limit();
  alert.scale = event.scale();
  alert.input = schemas::text(event.input());
  alert.publisher = schemas::text(event.publisher());
  alert.trades_end = Offset(event.trades_end());
  alert.books_end = Offset(event.books_end());
  alert.accounts_end = Offset(event.accounts_end());
  alert.input_time = {event.input_time()};
  return alert;
}

void Standing::apply(const Alert& alert) {
  switch (alert.state) {
    case RiskState::breached:
      breached_[alert.account].emplace(alert.instrument, alert.kind);
      return;
    case RiskState::cleared:
      if (const auto found = breached_.find(alert.account); found != breached_.end()) {
        found->second.erase({alert.instrument, alert.kind});
        if (found->second.empty()) breached_.erase(found);
      }
      return;
    case RiskState::stale:
      stale_.insert({alert.account, alert.reason, alert.input, alert.publisher});
      return;
    case RiskState::fresh:
      stale_.erase({alert.account, alert.reason, alert.input, alert.publisher});
      return;
  }
}

const Standing::Breaches* Standing::breaches(std::string_view account) const {
  const auto found = breached_.find(account);
  return found != breached_.end() ? &found->second : nullptr;
}

bool Standing::breached(std::string_view account, std::string_view instrument, RiskLimit kind) const {
  const Breaches* const found = breaches(account);
  return found != nullptr && found->contains({std::string(instrument), kind});
}

bool Standing::all_stale() const {
  return !stale_.empty() && stale_.begin()->account.empty();
}

bool Standing::stale(std::string_view account) const {
  const auto found = stale_.lower_bound({std::string(account), RiskReason{}, "", ""});
  return found != stale_.end() && found->account == account;
}

void Standing::save(StateWriter& into) const {
  into.put(std::uint64_t{breached_.size()});
  for (const auto& [account, breaches] : breached_) {
    into.put(std::string_view(account));
    into.put(std::uint64_t{breaches.size()});
    for (const auto& [instrument, kind] : breaches) {
      into.put(std::string_view(instrument));
      into.put(kind);
    }
  }
  into.put(std::uint64_t{stale_.size()});
  for (const Staleness& one : stale_) {
    into.put(std::string_view(one.account));
    into.put(one.reason);
    into.put(std::string_view(one.input));
    into.put(std::string_view(one.publisher));
  }
}

bool Standing::restore(StateReader& from) {
  const auto accounts = from.get<std::uint64_t>();
  for (std::uint64_t i = 0; i < accounts && from.sound(); ++i) {
    Breaches& breaches = breached_[std::string(from.get_text())];
    const auto count = from.get<std::uint64_t>();
    for (std::uint64_t j = 0; j < count && from.sound(); ++j) {
      const std::string instrument(from.get_text());
      breaches.emplace(instrument, from.get_up_to(RiskLimit::margin_use));
    }
  }
  const auto stale = from.get<std::uint64_t>();
  for (std::uint64_t i = 0; i < stale && from.sound(); ++i) {
    Staleness one;
    one.account = from.get_text();
    one.reason = from.get_up_to(RiskReason::not_computable);
    one.input = from.get_text();
    one.publisher = from.get_text();
    stale_.insert(std::move(one));
  }
  return from.sound();
}

}  // namespace millrace::delayed::risk

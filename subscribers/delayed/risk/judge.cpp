#include "subscribers/delayed/risk/judge.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace millrace::delayed::risk {
namespace {

// Of a fraction with at most six digits, and a whole per cent of that, an upward cut at nine tells more from less.
constexpr unsigned kUseScale = 9;

Amount absolute(const Amount& amount) {
  return {magnitude(amount.units), amount.scale};
}

// Margin over balance. Margin without a balance uses more than there is.
Amount use_of(const Accounts::Standing& standing) {
  if (standing.margin <= 0) return {0, kUseScale};
  if (standing.balance <= 0) return {std::numeric_limits<std::int64_t>::max(), kUseScale};
  const Wide scaled = Wide{standing.margin} * 1'000'000'000;
  return {scaled / standing.balance + (scaled % standing.balance != 0 ? 1 : 0), kUseScale};
}

std::optional<Amount> sum(const std::optional<Amount>& a, const std::optional<Amount>& b) {
  return a && b ? add(*a, *b) : std::nullopt;
}

}  // namespace

std::optional<Sums> sums_of(const State& state, std::string_view account) {
  Sums sums;
  const Trades::Holding* const holding = state.trades.holding(account);
  if (holding == nullptr) return sums;
  std::optional<Amount> realised_sum = sums.realised, unrealised_sum = sums.unrealised, gross = sums.gross,
                        net = sums.net;
  for (const auto& [name, one] : *holding) {
    const auto& [instrument, held] = one;
    if (held->broken) return std::nullopt;
    const Position& position = held->position;
    const unsigned scale = 0U + instrument->price_scale + instrument->quantity_scale;
    realised_sum = sum(realised_sum, Amount{position.realised, scale});
    if (position.quantity == 0 && position.cost == 0) continue;
    const auto worth = multiply(state.mark(name, *instrument), Amount{position.quantity, instrument->quantity_scale});
    unrealised_sum = sum(unrealised_sum, sum(worth, Amount{-position.cost, scale}));  // beyond what it cost
    net = sum(net, worth);
    gross = sum(gross, worth ? std::optional(absolute(*worth)) : std::nullopt);
  }
  if (!realised_sum || !unrealised_sum || !gross || !net) return std::nullopt;
  return Sums{*realised_sum, *unrealised_sum, *gross, *net};
}

bool Judge::turns(RiskLimit kind, const Amount& value, const Amount* limit, bool stands) const {
  if (limit == nullptr) return stands;
  const Amount held = kind == RiskLimit::net_exposure ? absolute(value) : value;
  if (stands) {
    const auto hundredfold = multiply(held, Amount{100, 0});
    const auto mark = multiply(*limit, Amount{limits_.clear_percent, 0});
    const auto order = hundredfold && mark ? compare(*hundredfold, *mark) : std::nullopt;
    return order && *order <= 0;  // too large to compare is beyond any limit
  }
  const auto order = compare(held, *limit);
  return order ? *order > 0 : held.units >= 0;
}

void Judge::judge(std::string_view account, std::vector<Alert>& said) const {
  if (account.empty() || standing_.all_stale() || standing_.stale(account)) return;
  Alert about;
  about.account = account;
  about.trades_end = state_.trades_read.end;
  about.books_end = state_.books_read.end;
  about.accounts_end = state_.accounts_read.end;
  about.input_time = state_.newest();

  const auto sums = sums_of(state_, account);
  const auto result = sums ? add(sums->realised, sums->unrealised) : std::nullopt;
  if (!result) {
    about.state = RiskState::stale;
    about.reason = RiskReason::not_computable;
    said.push_back(std::move(about));
    return;
  }
  const AccountLimits& limits = limits_.of(account);
  const auto judge_as = [&](RiskLimit kind, std::string_view instrument, const Amount& value, const Amount* limit) {
    const bool stands = standing_.breached(account, instrument, kind);
    if (!turns(kind, value, limit, stands)) return;
    Alert& one = said.emplace_back(about);
    one.kind = kind;
    one.instrument = instrument;
    one.state = stands ? RiskState::cleared : RiskState::breached;
    const Amount shown = limit != nullptr ? *limit : Amount{};
    one.scale = static_cast<std::uint8_t>(scale_for(value, shown));
    one.value = units_at(value, one.scale);
    one.limit = units_at(shown, one.scale);
  };
  const auto limit_of = [](const std::optional<Amount>& limit) { return limit ? &*limit : nullptr; };
  if (const Trades::Holding* const holding = state_.trades.holding(account)) {
    for (const auto& [name, one] : *holding) {
      const Amount held = absolute({one.second->position.quantity, one.first->quantity_scale});
      judge_as(RiskLimit::position, name, held, limits.position_of(name));
    }
  }
  judge_as(RiskLimit::gross_exposure, "", sums->gross, limit_of(limits.gross_exposure));
  judge_as(RiskLimit::net_exposure, "", sums->net, limit_of(limits.net_exposure));
  judge_as(RiskLimit::loss, "", {-result->units, result->scale}, limit_of(limits.loss));
  if (const Accounts::Currencies* const currencies = state_.accounts.find(account)) {
    for (const auto& [currency, standing] : *currencies) {
      judge_as(RiskLimit::margin_use, currency, use_of(standing), limit_of(limits.margin_use));
    }
  }
}

}  // namespace millrace::delayed::risk

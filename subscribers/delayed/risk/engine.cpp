#include "subscribers/delayed/risk/engine.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "bus/base/log.hpp"
#include "schemas/text.hpp"

namespace millrace::delayed::risk {
namespace {

constexpr std::uint64_t kEventsPerStep = 4096;

// The log never had them, or what it has is no event of the topic's type.
bool lacks_events(const Batch& batch) {
  return batch.events.size() < batch.end - batch.first ||
         std::any_of(batch.gaps.begin(), batch.gaps.end(),
                     [](const Gap& gap) { return gap.reason == Gap::Reason::not_recorded; });
}

bool may_try_again(PublishStatus status) {
  return status == PublishStatus::back_pressured || status == PublishStatus::refused ||
         status == PublishStatus::disconnected;
}

}  // namespace

Engine::Engine(Parts parts, const Limits& limits, BatchLimits batches, SnapshotPolicy policy)
    : memory_(std::move(parts.memory)),
      limits_(limits),
      judge_(memory_.state, limits_, memory_.standing),
      input_health_(std::move(parts.input_health)),
      health_(parts.health),
      health_missed_(parts.health_missed),
      status_(std::move(parts.status)),
      alerts_(parts.alerts),
      snapshots_(parts.snapshots),
      run_(std::move(parts.run)),
      policy_(policy),
      recorded_(memory_.alerts) {
  State& state = memory_.state;
  const std::array<Read*, kInputs> reads{&state.trades_read, &state.books_read, &state.accounts_read};
  std::array<Offset, kInputs> back{};
  if (parts.last) {
    back = {parts.last->trades_end, parts.last->books_end, parts.last->accounts_end};
    last_cause_ = {parts.last->input, parts.last->cause};
    cause_index_ = parts.last->cause_index + 1U;
    last_ = std::move(parts.last);
  }
  for (std::size_t i = 0; i < kInputs; ++i) {
    auto& batcher = topics_[i].batcher;
    batcher = std::make_unique<Batcher>(std::move(parts.inputs[i]), kInputNames[i], batches);
    topics_[i].read = reads[i];
    topics_[i].back = back[i];
    reads[i]->end = std::max(reads[i]->end, batcher->follower().position().offset);
  }
  snapshot_at_ = events_read();
}

Engine::~Engine() {
  if (writing_.valid()) writing_.wait();
}

std::uint64_t Engine::events_read() const {
  const State& state = memory_.state;
  return state.trades_read.end.value() + state.books_read.end.value() + state.accounts_read.end.value() +
         memory_.alerts.value();
}

// The event of the batch that comes next, or nullptr if there is none now, or coming back none that may be taken yet.
const Event* Engine::next(Input input, MonotonicTime now) {
  Topic& topic = this->topic(input);
  if (coming_back_ && topic.read->end >= topic.back) return nullptr;
  if (topic.batch == nullptr) {
    topic.batch = coming_back_ ? topic.batcher->flush(now) : topic.batcher->poll(now);
    topic.taken = 0;
    // Positions and balances rest on every event; of books the next one says it all.
    if (topic.batch != nullptr && input != Input::books && lacks_events(*topic.batch)) {
      input_health_.events_missing(input);
    }
  }
  if (topic.batch == nullptr) return nullptr;
  if (topic.taken == topic.batch->events.size()) {  // the rest failed their verifier
    topic.read->end = topic.batch->end;
    topic.batcher->next();
    topic.batch = nullptr;
    return nullptr;
  }
  const Event& event = topic.batch->events[topic.taken];
  return coming_back_ && *event.offset >= topic.back ? nullptr : &event;
}

void Engine::apply(Input input, const Event& event) {
  State& state = memory_.state;
  const std::byte* const payload = event.payload().data();
  switch (input) {
    case Input::trades: {
      const auto& trade = *flatbuffers::GetRoot<schemas::TradeEvent>(payload);
      state.trades.apply(trade);
      judge(schemas::text(trade.buyer_account()));
      if (schemas::text(trade.seller_account()) != schemas::text(trade.buyer_account())) {
        judge(schemas::text(trade.seller_account()));
      }
      // Where its book has not both sides, the price of this trade is everybody's mark.
      const auto instrument = schemas::text(trade.instrument());
      if (!state.books.mid(instrument)) touched_.emplace(instrument);
      return;
    }
    case Input::books: {
      const auto& book = *flatbuffers::GetRoot<schemas::MarketL2>(payload);
      state.books.apply(book);
      touched_.emplace(schemas::text(book.instrument()));
      return;
    }
    case Input::accounts: {
      const auto& account = *flatbuffers::GetRoot<schemas::AccountEvent>(payload);
      state.accounts.apply(account);
      judge(schemas::text(account.account()));
      return;
    }
  }
}

std::uint64_t Engine::take(Input input, MonotonicTime now) {
  Topic& topic = this->topic(input);
  const std::string name = kInputNames[static_cast<std::size_t>(input)];
  std::uint64_t count = 0;
  std::optional<Offset> last;
  while (count < kEventsPerStep && waiting_.empty()) {
    const Event* const event = next(input, now);
    if (event == nullptr) break;
    // Before it is judged: what an alert names is what was judged.
    topic.read->end = event->offset->next();
    topic.read->newest = event->record_time;
    apply(input, *event);
    last = event->offset;
    say(name, last);
    ++count;
    if (++topic.taken < topic.batch->events.size()) continue;
    topic.read->end = topic.batch->end;
    topic.batcher->next();
    topic.batch = nullptr;
    break;
  }
  if (last && !touched_.empty() && topic.batch == nullptr) {
    judge_touched();
    say(name, last);
  }
  return count;
}

void Engine::judge(std::string_view account) {
  if (!coming_back_) judge_.judge(account, found_);
}

// Those who hold an instrument whose mark has moved, once a batch.
void Engine::judge_touched() {
  std::set<std::string_view> accounts;
  for (const auto& name : touched_) {
    const auto found = memory_.state.trades.instruments().find(name);
    if (found == memory_.state.trades.instruments().end()) continue;
    for (const auto& [account, held] : found->second.held) {
      if (held.broken || held.position.quantity != 0) accounts.insert(account);
    }
  }
  touched_.clear();
  for (const auto account : accounts) judge(account);
}

void Engine::judge_all() {
  std::set<std::string_view> accounts;
  for (const auto& [name, instrument] : memory_.state.trades.instruments()) {
    for (const auto& [account, held] : instrument.held) accounts.insert(account);
  }
  for (const auto& [account, currencies] : memory_.state.accounts.all()) accounts.insert(account);
  for (const auto account : accounts) judge(account);
}

// What was missed, the status has; until it does, nothing is known.
void Engine::hear_health(bool away) {
  if (health_ == nullptr) return;
  (void)health_->poll<schemas::HealthEvent>(
      [this](const schemas::HealthEvent& event, const Event&) { input_health_.apply(event); });
  if (!error_) error_ = health_->error();
  if (!*health_missed_ || away) return;
  const auto status = status_();
  if (!status) return log().warn("system.health was missed, and there is no status: {}", status.error().message);
  input_health_.apply(*status);
  *health_missed_ = false;
}

void Engine::look_at_health() {
  bool away = false;
  for (std::size_t i = 0; i < kInputs; ++i) {
    const auto freshness = topics_[i].batcher->follower().freshness();
    const Offset end = topics_[i].read->end;
    away = away || !freshness.connected;
    input_health_.lag(static_cast<Input>(i), freshness.recorded_end > end ? freshness.recorded_end - end : 0);
  }
  hear_health(away);
  input_health_.core_away(away || (health_ != nullptr && *health_missed_));
  if (coming_back_) return;
  const bool was_stale = memory_.standing.all_stale();
  input_health_.judge(memory_.standing, found_);
  for (Alert& alert : found_) {
    alert.trades_end = memory_.state.trades_read.end;
    alert.books_end = memory_.state.books_read.end;
    alert.accounts_end = memory_.state.accounts_read.end;
    alert.input_time = memory_.state.newest();
  }
  say("", std::nullopt);
  if (!was_stale || memory_.standing.all_stale()) return;
  judge_all();
  say("", std::nullopt);
}

void Engine::say(const std::string& input, std::optional<Offset> cause) {
  for (Alert& alert : found_) {
    if (!input.empty()) alert.input = input;
    alert.cause = cause;
    memory_.standing.apply(alert);
    ++memory_.alerts;
    waiting_.push_back(std::move(alert));
  }
  found_.clear();
  publish_waiting();
}

void Engine::publish_waiting() {
  if (waiting_.empty() || error_) return;
  alerts_->begin_batch();
  while (!waiting_.empty()) {
    const Alert& alert = waiting_.front();
    const std::pair<std::string, std::optional<Offset>> from{alert.input, alert.cause};
    if (from != last_cause_) cause_index_ = 0;
    std::optional<Cause> cause;
    if (alert.cause) {
      cause = Cause(*alert.cause, static_cast<std::uint16_t>(std::min<std::uint64_t>(cause_index_, Cause::index_max)));
    }
    const auto publish = [&] {
      return alerts_->publish<schemas::RiskAlert>([&](schemas::RiskAlert& event) { write(alert, event); }, cause);
    };
    auto published = publish();
    if (published.status == PublishStatus::too_large) {  // with those before it
      alerts_->end_batch();
      alerts_->begin_batch();
      published = publish();
    }
    const Sequence expected(memory_.alerts.value() - waiting_.size() + 1);
    if (!published) {
      if (!may_try_again(published.status)) {
        error_ = Error{alerts_->error().code, "risk_alerts takes no more events (" +
                                                  std::string(to_string(published.status)) +
                                                  "): " + alerts_->error().message};
      }
      break;
    }
    if (published.sequence != expected) {
      error_ = Error{ErrorCode::sequence_error, "alert " + std::to_string(expected.value()) + " became " +
                                                    std::to_string(published.sequence.value()) +
                                                    " on risk_alerts; start the risk engine again"};
      break;
    }
    last_cause_ = from;
    ++cause_index_;
    waiting_.pop_front();
  }
  alerts_->end_batch();
}

std::uint64_t Engine::do_work(MonotonicTime now) {
  if (error_) return 0;
  alerts_->idle();  // however much there is to read, it lives
  publish_waiting();
  if (!waiting_.empty()) return 0;
  look_at_health();
  std::uint64_t work = 0;
  for (std::size_t i = 0; i < kInputs && waiting_.empty(); ++i) work += take(static_cast<Input>(i), now);
  if (coming_back_ &&
      std::all_of(topics_.begin(), topics_.end(), [](const Topic& topic) { return topic.read->end >= topic.back; })) {
    coming_back_ = false;
    touched_.clear();
    look_at_health();
    judge_all();
    last_ ? say(last_->input, last_->cause) : say("", std::nullopt);  // what was judged then and not said
  }
  write_snapshot(now);
  if (work == 0) {
    for (const Topic& topic : topics_) {
      if (!error_ && topic.batch == nullptr) error_ = topic.batcher->error();
    }
  }
  return work;
}

// A snapshot stands only on alerts that are on the disk: an engine that starts from it says none of them again.
void Engine::write_snapshot(MonotonicTime now) {
  if (snapshots_ == nullptr || coming_back_ || !waiting_.empty()) return;
  if (writing_.valid()) {
    if (writing_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return;
    if (const Status status = writing_.get()) {
      ++snapshots_written_;
    } else {
      log().warn("no snapshot was written: {}", status.error().message);
    }
  }
  if (!snapshot_time_) snapshot_time_ = now;
  const std::uint64_t at = events_read();
  if (at <= snapshot_at_) return;
  if (at - snapshot_at_ < policy_.every_events && now - *snapshot_time_ < policy_.every) return;
  if (memory_.alerts > recorded_ && alerts_->synced_sequence() < memory_.alerts) return;
  std::array<Snapshot::Log, kInputs> logs{};
  for (std::size_t i = 0; i < kInputs; ++i) {
    const millrace::Position position = topics_[i].batcher->follower().position();
    logs[i] = {position.log_id, position.run};
  }
  auto contents = std::make_shared<const std::vector<std::byte>>(contents_of(logs, memory_));
  writing_ = run_([folder = snapshots_, at, contents] { return folder->write(at, enclose(*contents)); });
  snapshot_at_ = at;
  snapshot_time_ = now;
}

}  // namespace millrace::delayed::risk

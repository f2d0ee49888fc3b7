#include "bus/daemon/consumer_store.hpp"

#include "bus/base/log.hpp"

namespace millrace::daemon {
namespace {

using namespace std::chrono_literals;

constexpr auto store_interval = 5ms;

}  // namespace

ConsumerStore::ConsumerStore(std::vector<std::unique_ptr<Topic>>& topics, std::vector<wal::Checkpoints> checkpoints,
                             Answer answer, const Clock& clock)
    : topics_(topics),
      checkpoints_(std::move(checkpoints)),
      answer_(std::move(answer)),
      clock_(clock),
      storing_(*this),
      thread_("checkpoints", storing_, std::make_unique<BusySpinIdle>(), std::nullopt, clock) {}

std::uint64_t ConsumerStore::store() {
  Store store;
  if (!to_store_.wait_dequeue_timed(store, 10ms)) return 0;
  store.status = checkpoints_[store.topic].store(store.records);
  stored_.enqueue(std::move(store));
  return 1;
}

std::uint64_t ConsumerStore::do_work(MonotonicTime now) {
  std::uint64_t work = 0;
  Store done;
  while (stored_.try_dequeue(done)) {
    complete(done);
    ++work;
  }
  // Who asked for a name is not kept waiting; acknowledgements gather a little.
  if (waiting_.empty() && now - looked_ < store_interval) return work;
  looked_ = now;
  for (std::size_t i = 0; i < topics_.size(); ++i) {
    if (auto records = topics_[i]->consumers().take_store(clock_.wall()))
      to_store_.enqueue({i, std::move(*records), {}});
  }
  return work;
}

void ConsumerStore::complete(const Store& done) {
  Consumers& consumers = topics_[done.topic]->consumers();
  consumers.complete_store(done.status);
  std::vector<Waiting> ready;
  std::erase_if(waiting_, [&](Waiting& waiting) {
    if (waiting.topic != done.topic || (done.status && !consumers.stored(waiting.change))) return false;
    ready.push_back(std::move(waiting));
    return true;
  });
  for (Waiting& waiting : ready) answer_(std::move(waiting), done.status);
}

void ConsumerStore::stop() {
  if (std::exchange(stopped_, true)) return;
  thread_.stop();
  while (store() > 0) {
  }
  Store done;
  while (stored_.try_dequeue(done)) topics_[done.topic]->consumers().complete_store(done.status);
  for (std::size_t i = 0; i < topics_.size(); ++i) {
    const auto records = topics_[i]->consumers().take_store(clock_.wall());
    if (!records) continue;
    if (const Status status = checkpoints_[i].store(*records); !status) {
      log().error("the last checkpoints of topic {} are not stored: {}", topics_[i]->config().name,
                  status.error().message);
    }
  }
}

}  // namespace millrace::daemon

#include "tools/torturer/worker.hpp"

#include <atomic>
#include <csignal>
#include <cstring>
#include <fstream>

namespace millrace::torture {
namespace {

std::atomic<bool> ending{false};
static_assert(std::atomic<bool>::is_always_lock_free, "used by a handler");

}  // namespace

void catch_end() {
  struct sigaction action {};
  action.sa_handler = [](int) { ending.store(true, std::memory_order_relaxed); };
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGTERM, &action, nullptr);
  sigset_t end;
  sigemptyset(&end);
  sigaddset(&end, SIGTERM);
  ::sigprocmask(SIG_UNBLOCK, &end, nullptr);
}

bool told_to_end() {
  return ending.load(std::memory_order_relaxed);
}

Result<std::uint64_t> read_end(const std::string& end_file) {
  std::uint64_t end = 0;
  std::ifstream in(end_file);
  if (in >> end) return end;
  return fail(ErrorCode::not_found, "told to end, and " + end_file + " does not say at which offset");
}

Resume Resume::from(const std::vector<Record>& found) {
  Resume resume;
  for (const Record& record : found) {
    if (record.kind == Kind::position) {
      std::memcpy(resume.log_id.bytes.data(), &record.life, sizeof record.life);
      std::memcpy(resume.log_id.bytes.data() + sizeof record.life, &record.base, sizeof record.base);
      resume.run = record.sequence;
      resume.known = true;
    } else if (record.kind == Kind::seen || record.kind == Kind::damaged) {
      resume.next = record.offset + record.count;
    }
  }
  return resume;
}

Record Resume::record() const {
  Record record{Kind::position, 0, 0, 0, run, next, 0, 0};
  std::memcpy(&record.life, log_id.bytes.data(), sizeof record.life);
  std::memcpy(&record.base, log_id.bytes.data() + sizeof record.life, sizeof record.base);
  return record;
}

void StallWatch::progress(MonotonicTime now) {
  if (last_ != MonotonicTime{} && now - last_ > stall_worth_a_word) {
    journal_.add({Kind::stall, 0, disconnected_ ? 1u : 0u, static_cast<std::uint64_t>(last_.ns), 0, 0,
                  static_cast<std::uint64_t>((now - last_).count()), 0});
  }
  last_ = now;
  disconnected_ = false;
}

}  // namespace millrace::torture

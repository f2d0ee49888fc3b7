// Every loop is an agent: one step that says how much work it did. A runner owns the thread; a test steps by hand.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "bus/base/clock.hpp"
#include "bus/base/idle.hpp"

namespace millrace {

class Agent {
 public:
  virtual ~Agent() = default;
  virtual std::uint64_t do_work(MonotonicTime now) = 0;
  virtual void on_close() {}  // on the runner's thread, after the last do_work
};

class AgentRunner {
 public:
  // Owner keeps `agent` and `clock` alive until stop() or the destructor returned. `cpu`: pin the thread to it.
  // `name`: the thread's, at most 15 characters.
  AgentRunner(std::string name, Agent& agent, std::unique_ptr<IdleStrategy> idle,
              std::optional<unsigned> cpu = std::nullopt, const Clock& clock = system_clock());
  ~AgentRunner() { stop(); }
  AgentRunner(const AgentRunner&) = delete;
  AgentRunner& operator=(const AgentRunner&) = delete;

  void start();
  void stop();  // ends the loop, calls on_close there, joins; again is harmless

  // When the loop last began a step, for a watchdog; 0 before the first.
  [[nodiscard]] MonotonicTime last_step() const { return {last_step_.load(std::memory_order_relaxed)}; }

 private:
  void run();

  std::string name_;
  Agent& agent_;
  std::unique_ptr<IdleStrategy> idle_;
  std::optional<unsigned> cpu_;
  const Clock& clock_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::int64_t> last_step_{0};
  std::thread thread_;
};

// Pins the calling thread. False if the kernel refused (no such core, not allowed).
[[nodiscard]] bool pin_this_thread(unsigned cpu);

}  // namespace millrace

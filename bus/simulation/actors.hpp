// Who takes part in a simulation besides the core.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bus/simulation/simulation.hpp"

namespace millrace::simulation {

struct Simulation::Process {
  std::string name;
  Incarnation incarnation;
  std::shared_ptr<PublisherLink> link = std::make_shared<PublisherLink>();
  std::unique_ptr<Publisher> publisher{};  // once it is admitted for the first time
  std::optional<std::size_t> stream{};     // that it asked for, of core `asked`
  std::uint64_t asked = 0;
  bool admitted = false;      // by core `asked`
  std::uint64_t ring_of = 0;  // the core whose ring it writes
  Sequence first{};           // its first event's
  Sequence next{};            // its next event's
  bool in_batch = false;
  std::vector<std::pair<Sequence, std::uint64_t>> batch{};  // with digests
};

struct Simulation::Reader {
  Sight sight;
  unsigned pace = 100;  // percent of the polls that it cares for
  std::shared_ptr<SubscriberLink> link = std::make_shared<SubscriberLink>();
  std::shared_ptr<SubscriberAttachment> attachment{};  // the newest given
  std::uint64_t core = 0;                              // whose
  std::unique_ptr<Subscriber> subscriber{};            // a durable consumer's: once its name is stored
  std::string consumer{};                              // the name of a durable one
  std::shared_ptr<SubscriberAttachment> claim{};       // of the newest core, until that has stored it
  std::uint64_t change = 0;                            // that must be stored
  std::uint64_t claims = 0;                            // how many had been given the name with its claim
  bool claim_fenced = false;
  bool fenced = false;  // the attachment
};

}  // namespace millrace::simulation

// Proves that a name held without a reader acknowledges as a reader's would, in this core and the next, and that it
// knows when somebody else has had the name.
#include "bus/held_consumer.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "bus/testing/memory_bus.hpp"
#include "wal/fault_file_system.hpp"

namespace millrace {
namespace {

using testing::MemoryBus;
using testing::MemoryBusOptions;

class HeldConsumerTest : public ::testing::Test {
 protected:
  HeldConsumerTest() {
    MemoryBusOptions options;
    options.folder = "/log";
    options.files = &disk_;
    bus_.emplace(std::move(options), clock_);
    const auto publisher = bus_->publisher("maker");
    for (int i = 0; i < 10; ++i) {
      EXPECT_TRUE(publisher->publish<schemas::TradeEvent>([](schemas::TradeEvent&) {}));
    }
    bus_->settle();
  }
  void store() {
    while (const auto records = bus_->consumers().take_store(clock_.wall())) {
      bus_->consumers().complete_store(bus_->checkpoints().store(*records));
    }
  }
  std::shared_ptr<SubscriberAttachment> attach(bool take_over = false, std::uint64_t generation = 0) {
    auto attachment = bus_->attach_subscriber();
    const auto change = bus_->hold(*attachment, "risk", take_over, Offset(0), generation);
    EXPECT_TRUE(change) << change.error().message;
    store();
    return attachment;
  }
  HeldConsumer hold() { return HeldConsumer({link_, attach()}); }
  // A core dies and another comes; what was not stored is lost with it.
  void next_core() {
    link_->disconnect();
    bus_->kill_core();
    const Status started = bus_->start_core();
    ASSERT_TRUE(started) << started.error().message;
  }

  wal::FaultFileSystem disk_;
  ManualClock clock_;
  std::optional<MemoryBus> bus_;
  std::shared_ptr<SubscriberLink> link_ = std::make_shared<SubscriberLink>();
};

TEST_F(HeldConsumerTest, WhatWasHandedOnIsAcknowledgedAndNothingElse) {
  HeldConsumer held = hold();
  EXPECT_EQ(held.begin().offset, Offset(0));
  EXPECT_EQ(held.ack(Offset(1)).error().code, ErrorCode::invalid_argument);
  held.handed_on(Offset(5));
  EXPECT_TRUE(held.ack(Offset(4)));
  EXPECT_TRUE(held.ack(Offset(2))) << "older ones change nothing";
  EXPECT_EQ(held.acked(), Offset(4));
  EXPECT_EQ(held.checkpoint(), Offset(0));
  store();
  EXPECT_EQ(held.checkpoint(), Offset(4));
  EXPECT_EQ(held.ack(Offset(6)).error().code, ErrorCode::invalid_argument);
}

TEST_F(HeldConsumerTest, TheCoreSeesThatItLivesAndHowFarItIs) {
  const auto attachment = attach();
  HeldConsumer held({link_, attachment});
  const auto progress = attachment->page->state.progress.load();
  held.handed_on(Offset(5));
  EXPECT_GT(attachment->page->state.progress.load(), progress);
  EXPECT_EQ(attachment->page->state.position.load(), 5u);
  for (const ring::Word& lease : attachment->page->leases) EXPECT_EQ(lease.load(), 0u) << "it pins no page";
}

TEST_F(HeldConsumerTest, WhoTakesTheNameOverOrResetsItFencesIt) {
  HeldConsumer held = hold();
  held.handed_on(Offset(5));
  HeldConsumer heir({std::make_shared<SubscriberLink>(), attach(true)});
  EXPECT_EQ(held.look().error().code, ErrorCode::fenced);
  EXPECT_EQ(held.ack(Offset(3)).error().code, ErrorCode::fenced);
  store();
  EXPECT_EQ(heir.checkpoint(), Offset(0));
  EXPECT_TRUE(heir.look());
  ASSERT_TRUE(bus_->consumers().reset("risk", Offset(7), millrace::Run(1), clock_.wall()));
  EXPECT_EQ(heir.look().error().code, ErrorCode::fenced);
}

TEST_F(HeldConsumerTest, TheNextCoreIsToldWhatTheLastOneHadNotStored) {
  const auto attachment = attach();
  HeldConsumer held({link_, attachment});
  held.handed_on(Offset(9));
  ASSERT_TRUE(held.ack(Offset(8)));
  next_core();
  EXPECT_TRUE(held.ack(Offset(9))) << "no core is no reason to refuse";
  EXPECT_EQ(held.checkpoint(), Offset(0));
  link_->replace(attach(false, attachment->consumer->generation));
  EXPECT_TRUE(held.look());
  store();
  EXPECT_EQ(held.checkpoint(), Offset(9));
}

TEST_F(HeldConsumerTest, WhatTheNextCoreAnsweredIsWhyItIsLost) {
  HeldConsumer held = hold();
  link_->close({ErrorCode::exhausted, "no room"});
  EXPECT_EQ(held.look().error().code, ErrorCode::exhausted);
  EXPECT_EQ(held.ack(Offset(0)).error().code, ErrorCode::exhausted) << "for good";
}
}  // namespace
}  // namespace millrace

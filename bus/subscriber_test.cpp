// Proves what a subscriber keeps and is told when its core is replaced: a durable consumer's acknowledgements and name,
// and why the next core would not have it.
#include "bus/subscriber.hpp"

#include <gtest/gtest.h>

#include "bus/testing/memory_bus.hpp"
#include "wal/fault_file_system.hpp"

namespace millrace {
namespace {

using schemas::TradeEvent;
using testing::MemoryBus;
using testing::MemoryBusOptions;

class SubscriberTest : public ::testing::Test {
 protected:
  SubscriberTest() {
    options_.folder = "/log";
    options_.log.segment_size = 1 << 20;
    options_.files = &disk_;
    bus_.emplace(options_, clock_);
    publisher_ = bus_->publisher("maker");
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(publisher_->publish<TradeEvent>([](TradeEvent&) {}));
    bus_->settle();
  }

  std::shared_ptr<SubscriberAttachment> hold(std::uint64_t generation = 0) {
    auto attachment = bus_->attach_subscriber();
    EXPECT_TRUE(bus_->hold(*attachment, "risk", false, Offset(), generation));
    store();
    return attachment;
  }
  void store() {
    const auto records = bus_->consumers().take_store(clock_.wall());
    if (records) bus_->consumers().complete_store(bus_->checkpoints().store(*records));
  }
  Subscriber consumer() {
    return {Follower::open({link_, hold()}, Level::synced, StartLatest{}, nullptr).value(), bus_->type()};
  }
  static std::size_t read(Subscriber& subscriber) {
    return subscriber.poll([](const Event&) {});
  }

  wal::FaultFileSystem disk_;
  ManualClock clock_;
  MemoryBusOptions options_;
  std::optional<MemoryBus> bus_;
  std::unique_ptr<Publisher> publisher_;
  std::shared_ptr<SubscriberLink> link_ = std::make_shared<SubscriberLink>();
};

TEST_F(SubscriberTest, WhatIsAcknowledgedButNotStoredWhenTheCoreDiesIsStoredByTheNext) {
  Subscriber subscriber = consumer();
  EXPECT_EQ(read(subscriber), 10u);
  ASSERT_TRUE(subscriber.ack(Offset(7)));
  const std::uint64_t generation = subscriber.follower()->attachment()->consumer->generation;
  bus_->kill_core();
  ASSERT_TRUE(bus_->start_core());
  link_->replace(hold(generation));
  EXPECT_EQ(read(subscriber), 0u);
  EXPECT_EQ(subscriber.follower()->checkpoint(), Offset());
  store();
  EXPECT_EQ(subscriber.follower()->checkpoint(), Offset(7));
  ASSERT_TRUE(subscriber.ack(Offset(10)));
  store();
  EXPECT_EQ(subscriber.follower()->checkpoint(), Offset(10));
}

TEST_F(SubscriberTest, OfWhomTheNextCoreWillNotHearSaysWhyOnceItHasReadWhatThereWas) {
  const Error why{ErrorCode::fenced, "another has the name"};
  Subscriber subscriber = consumer();
  Subscriber live(LiveReader({link_, bus_->attach_subscriber()}, nullptr), bus_->type());
  ASSERT_TRUE(publisher_->publish<TradeEvent>([](TradeEvent&) {}));
  bus_->settle();
  link_->disconnect();
  EXPECT_FALSE(subscriber.error() || live.error());
  link_->close(why);
  EXPECT_EQ(read(subscriber), 11u);
  EXPECT_EQ(read(live), 1u);
  for (Subscriber* one : {&subscriber, &live}) {
    ASSERT_TRUE(one->error());
    EXPECT_EQ(one->error()->code, why.code);
    EXPECT_EQ(one->error()->message, why.message);
  }
  EXPECT_EQ(subscriber.ack(Offset(5)).error().code, ErrorCode::fenced);
}

}  // namespace
}  // namespace millrace

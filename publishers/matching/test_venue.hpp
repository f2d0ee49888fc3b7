// For tests: commands written in a line, a venue whose events can be read as short texts, and an outlet that can be
// told to refuse.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "publishers/matching/outlet.hpp"
#include "publishers/matching/venue.hpp"
#include "schemas/event_template.hpp"
#include "schemas/registry.hpp"

namespace millrace::matching {

// A command that is an event of its own.
class TestCommand {
 public:
  explicit TestCommand(schemas::OrderAction action, std::string_view instrument = "MILL",
                       std::string_view account = "ann") {
    event_ = template_.instantiate(bytes_);
    event_->mutate_action(action);
    event_->mutate_price_scale(2);
    schemas::set_text(event_->mutable_instrument(), instrument);
    schemas::set_text(event_->mutable_account(), account);
  }
  TestCommand(TestCommand&& other) = default;  // a vector's bytes stay where they are

  [[nodiscard]] static TestCommand enter(schemas::Side side, std::int64_t quantity, std::int64_t price,
                                         std::string_view account, std::uint64_t order = 0,
                                         std::string_view client = "") {
    TestCommand command(schemas::OrderAction::enter, "MILL", account);
    command->mutate_side(side);
    command->mutate_quantity(quantity);
    command->mutate_price(price);
    command->mutate_order_id(order);
    schemas::set_text(command->mutable_client_order_id(), client);
    return command;
  }

  schemas::OrderCommand* operator->() { return event_; }
  const schemas::OrderCommand& operator*() const { return *event_; }

 private:
  inline static const schemas::EventTemplate<schemas::OrderCommand> template_;
  std::vector<std::byte> bytes_ = std::vector<std::byte>(template_.size());
  schemas::OrderCommand* event_ = nullptr;
};

// Keeps every event as the JSON that everybody else would see, and can be told what to answer instead of ok.
class TestOutlet final : public Outlet {
 public:
  PublishStatus publish(const Venue& venue, const Output& output, std::optional<Offset> cause) override {
    const auto status = answer ? answer() : PublishStatus::ok;
    if (status != PublishStatus::ok) return status;
    causes.push_back(cause);
    if (const auto* const trade = std::get_if<Trade>(&output)) {
      keep<schemas::TradeEvent>(venue, *trade);
    } else if (const auto* const report = std::get_if<OrderReport>(&output)) {
      keep<schemas::OrderEvent>(venue, *report);
    } else {
      keep<schemas::MarketL2>(venue, std::get<DepthChanged>(output));
    }
    return status;
  }
  Error error() const override { return {ErrorCode::internal, "the outlet is closed"}; }
  void idle() override { ++idled; }

  std::function<PublishStatus()> answer;
  std::vector<std::string> events;
  std::vector<std::optional<Offset>> causes;
  int idled = 0;

 private:
  template <class Event, class One>
  void keep(const Venue& venue, const One& one) {
    static const schemas::EventTemplate<Event> fresh;
    static const schemas::Registry registry = schemas::Registry::built_in();
    const auto* const type = registry.find(schemas::Family<Event>::id);
    std::vector<std::byte> bytes(fresh.size());
    venue.write(one, *fresh.instantiate(bytes));
    ASSERT_TRUE(type->verify(bytes));
    std::string text;
    type->append_json(bytes, text);
    events.push_back(std::string(type->name()) + " " + text);
  }
};

[[nodiscard]] inline std::unique_ptr<Venue> open_venue(std::vector<InstrumentConfig> instruments) {
  auto venue = Venue::open({std::move(instruments), 7, WallTime{500}});
  EXPECT_TRUE(venue.has_value());
  return std::move(*venue);
}
[[nodiscard]] inline InstrumentConfig mill_config() {
  InstrumentConfig config;
  config.name = "MILL";
  config.reference = Price{100'00};
  return config;
}

}  // namespace millrace::matching

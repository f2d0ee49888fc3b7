// A session's durable consumers: a name that the core gives is held beside the subscription, whose events come as any
// other's do.
#include <string>

#include "subscribers/realtime/session.hpp"

namespace millrace::gateway {

void Session::claim(Subscription& subscription, HoldRequest request) {
  subscription.opening.reset();  // the name tells where it begins
  subscription.claiming = std::make_shared<int>();
  if (hub_.stopping) return;
  asio::post(hub_.core_threads, [self = self(), id = subscription.id, topic = subscription.topic,
                                 wanted = std::weak_ptr<void>(subscription.claiming),
                                 skip_deleted = subscription.skip_deleted, request = std::move(request)]() mutable {
    EventSource& source = self->hub_.source;
    // The client may be gone by the time that it is its turn.
    Result<std::unique_ptr<HeldName>> name = fail(ErrorCode::disconnected, "nobody waits for the name any more");
    if (!wanted.expired()) {
      name = source.hold(topic, request);
      if (!name && name.error().code == ErrorCode::deleted && skip_deleted) {
        request.start = Earliest{};
        name = source.hold(topic, request);
      }
    }
    asio::io_context& io = self->hub_.io;
    asio::post(
        io, [self = std::move(self), id, name = std::move(name)]() mutable { self->on_claimed(id, std::move(name)); });
  });
}

// Without a subscription that wants it the name is free again when this returns.
void Session::on_claimed(std::uint32_t id, Result<std::unique_ptr<HeldName>> name) {
  if (state_ == State::ended) return;
  if (Subscription* subscription = find(id)) {
    if (!name) {
      end_with(*subscription, protocol::from_error(name.error(), protocol::ErrorName::consumer_failed));
    } else {
      subscription->claiming.reset();
      subscription->name = std::move(*name);
      // What is beyond the head is on its way here.
      begin_at(*subscription, subscription->name->begin(), subscription->name->begin());
      subscription->caught_up = !subscription->opening;
      if (!subscription->opening) confirm(*subscription);
    }
  }
  pump();
}

void Session::acknowledge(const std::string& request_id, const protocol::Ack& ack) {
  using protocol::ErrorName;
  Subscription* subscription = find_confirmed(request_id, ack.subscription);
  if (!subscription) return;
  if (!subscription->name) {
    return refuse(
        {ErrorName::not_durable, "subscribe with 'consumer': only a durable consumer acknowledges", request_id});
  }
  if (ack.next > subscription->cursor) {
    return refuse({ErrorName::ack_ahead,
                   "nothing from offset " + std::to_string(subscription->cursor.value()) + " on has been sent",
                   request_id});
  }
  if (subscription->batch && ack.next > subscription->name->acked()) {
    if (auto why = inside_batch(*subscription->batch, ack.next)) {
      return refuse({ErrorName::ack_inside_batch, std::move(*why), request_id});
    }
  }
  // A name that is lost ends the subscription, too, with an error of its own.
  if (const Status done = subscription->name->ack(ack.next); !done) {
    refuse({protocol::from_error(done.error(), ErrorName::consumer_failed).name, done.error().message, request_id});
    return;
  }
  if (subscription->batch) {
    auto& unacked = subscription->batch->unacked;
    while (!unacked.empty() && unacked.front().second <= subscription->name->acked()) unacked.pop_front();
  }
  answer(protocol::acked(request_id, ack.subscription, subscription->name->acked(), subscription->name->checkpoint()));
}

bool Session::end_if_name_lost(Subscription& subscription) {
  if (!subscription.name) return false;
  const Status held = subscription.name->look();
  if (held) return false;
  auto error = protocol::from_error(held.error(), protocol::ErrorName::consumer_failed);
  if (held.error().code == ErrorCode::invalid_argument) error.name = protocol::ErrorName::wrong_log;
  end_with(subscription, std::move(error));
  return true;
}

}  // namespace millrace::gateway

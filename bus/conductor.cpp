#include "bus/conductor.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <future>

namespace millrace {
namespace {

using namespace std::chrono_literals;

constexpr auto reconnect_interval = 20ms;
constexpr auto forgotten_interval = 200ms;  // how soon a dropped publisher or subscriber is given back

Error away() {
  return {ErrorCode::disconnected, "the core is away: try again"};
}

template <class Body>
const Body* body_of(const control::MessageT& message) {
  return message.body.type == control::BodyUnionTraits<Body>::enum_value ? static_cast<const Body*>(message.body.value)
                                                                         : nullptr;
}

control::MessageT attach_message(const std::string& topic, const SubscriberRequest& request) {
  control::AttachSubscriberT attach;
  attach.topic = topic;
  attach.level = static_cast<control::Level>(request.level);
  attach.consumer = request.consumer;
  attach.take_over = request.take_over;
  if (request.start) attach.start = request.start->value();
  attach.generation = request.generation;
  return control::make_message(std::move(attach));
}

Result<Mapping> map_all(const UniqueFd& fd, std::uint64_t offset, std::size_t size, Access access, const char* what) {
  if (!fd) return fail(ErrorCode::internal, std::string("the core sent no descriptor of ") + what);
  return Mapping::map(fd.get(), offset, size, access, what);
}

}  // namespace

Conductor::Conductor(BusOptions options) : options_(std::move(options)) {}

Conductor::~Conductor() {
  stopping_ = true;
  (void)::eventfd_write(given_back_->wake.get(), 1);
  if (thread_.joinable()) thread_.join();
  // Names and leases are free when this returns, not once the process ends: a closed socket alone frees nothing.
  if (connected()) {
    detach_forgotten();
    if (connection_) (void)connection_->flush();
  }
}

Status Conductor::start() {
  thread_ = std::thread([this] { run(); });
  std::unique_lock lock(mutex_);
  const bool done = changed_.wait_for(lock, options_.timeout, [this] { return connected() || refused_; });
  if (refused_) return fail(*refused_);
  if (!done) {
    return fail(ErrorCode::timed_out, "no core answers at " + options_.socket +
                                          ": start millraced, or name its socket in "
                                          "MILLRACE_SOCKET");
  }
  return {};
}

std::vector<TopicDescription> Conductor::topics() const {
  const std::lock_guard lock(mutex_);
  return topics_;
}

Result<Conductor::Answer> Conductor::ask(const control::MessageT& message, const Take& take) {
  struct Asked {
    std::promise<Result<Answer>> promise;
    std::atomic<bool> settled{false};  // answered, or nobody waits any more: whichever was first
  };
  const auto asked = std::make_shared<Asked>();
  auto future = asked->promise.get_future();
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back({message, [this, asked, take, message](Result<Answer> answer) {
                           if (asked->settled.exchange(true)) return give_back(message, answer);
                           const bool good = answer && body_of<control::ErrorAnswerT>(answer->message) == nullptr;
                           if (good && take) take(*answer);
                           asked->promise.set_value(std::move(answer));
                         }});
  }
  (void)::eventfd_write(given_back_->wake.get(), 1);
  if (future.wait_for(options_.timeout) != std::future_status::ready && !asked->settled.exchange(true)) {
    return fail(ErrorCode::timed_out, "the core did not answer in time");
  }
  auto answer = future.get();
  if (!answer) return answer;
  if (const auto* error = body_of<control::ErrorAnswerT>(answer->message)) return fail(control::to_error(*error));
  return answer;
}

// What was asked for comes too late: what nobody has would keep its name from everybody.
void Conductor::give_back(const control::MessageT& asked, const Result<Answer>& answer) {
  if (!answer) return;
  if (const auto* subscriber = body_of<control::SubscriberAttachedT>(answer->message)) {
    const std::lock_guard lock(given_back_->mutex);
    given_back_->subscriptions.push_back({answer->core, subscriber->subscription_id});
  } else if (body_of<control::PublisherAttachedT>(answer->message) != nullptr) {
    const auto& request = *body_of<control::AttachPublisherT>(asked);
    const std::lock_guard lock(mutex_);
    publishers_.push_back({request.topic, request.publisher_name, {}});  // as one that was dropped
  }
}

Result<Attached<PublisherAttachment>> Conductor::attach_publisher(const std::string& topic, const std::string& name,
                                                                  bool take_over) {
  control::AttachPublisherT request;
  request.topic = topic;
  request.publisher_name = name;
  request.take_over = take_over;
  auto link = std::make_shared<PublisherLink>();
  auto answer = ask(control::make_message(std::move(request)), [this, topic, name, link](const Answer&) {
    const std::lock_guard lock(mutex_);
    publishers_.push_back({topic, name, link});
  });
  if (!answer) return fail(answer.error());
  auto attachment = publisher_from(*answer);
  if (!attachment) return fail(attachment.error());
  return Attached<PublisherAttachment>{std::move(link), std::move(*attachment)};
}

Result<Attached<SubscriberAttachment>> Conductor::attach_subscriber(const std::string& topic,
                                                                    const SubscriberRequest& request) {
  auto link = std::make_shared<SubscriberLink>();
  auto answer = ask(attach_message(topic, request), [this, topic, request, link](const Answer& given) {
    const auto* attached = body_of<control::SubscriberAttachedT>(given.message);
    const std::lock_guard lock(mutex_);
    subscribers_.push_back({topic, request, link});
    SubscriberRequest& again = subscribers_.back().request;
    again.take_over = false;  // once: whoever takes the name over from us later keeps it
    if (attached != nullptr && attached->consumer) again.generation = attached->consumer->generation;
  });
  if (!answer) return fail(answer.error());
  auto attachment = subscriber_from(*answer);
  if (!attachment) return fail(attachment.error());
  return Attached<SubscriberAttachment>{std::move(link), std::move(*attachment)};
}

Status Conductor::command(const control::MessageT& message) {
  const auto answer = ask(message);
  if (!answer) return fail(answer.error());
  if (body_of<control::DoneT>(answer->message) != nullptr) return {};
  return fail(ErrorCode::internal, "the core answered a command with something else");
}

Result<control::StatusReportT> Conductor::status() {
  auto answer = ask(control::make_message(control::GetStatusT{}));
  if (!answer) return fail(answer.error());
  if (const auto* report = body_of<control::StatusReportT>(answer->message)) return *report;
  return fail(ErrorCode::internal, "the core answered a status request with something else");
}

void Conductor::run() {
  while (!stopping_) {
    if (connection_) {
      serve();
    } else {
      connect();
    }
  }
  // Subscriptions are given back by their numbers, which are still on their way.
  const auto end = std::chrono::steady_clock::now() + options_.timeout;
  while (connection_ && attaching_ > 0 && std::chrono::steady_clock::now() < end) serve();
}

void Conductor::wait(int socket, std::chrono::milliseconds time) {
  std::array<pollfd, 2> fds{pollfd{given_back_->wake.get(), POLLIN, 0}, pollfd{socket, POLLIN, 0}};
  if (connection_ && connection_->has_queued()) fds[1].events |= POLLOUT;
  (void)::poll(fds.data(), socket < 0 ? 1 : 2, static_cast<int>(time.count()));
  eventfd_t ignored;
  (void)::eventfd_read(given_back_->wake.get(), &ignored);
}

void Conductor::connect() {
  auto connection = control::Connection::connect(options_.socket);
  if (!connection) {
    std::vector<Request> requests;
    {
      const std::lock_guard lock(mutex_);
      requests.swap(requests_);
      if (connection.error().code == ErrorCode::not_permitted) refused_ = connection.error();
    }
    changed_.notify_all();
    for (const Request& request : requests) request.on_answer(fail(away()));
    return wait(-1, reconnect_interval);
  }
  connection_ = std::move(*connection);
  control::HelloT hello;
  hello.protocol_version = control::protocol_version;
  hello.client_name = options_.name;
  hello.incarnation = std::make_unique<control::Uuid>(control::to_wire(incarnation_));
  send(control::make_message(std::move(hello)), [this](const Result<Answer>& answer) {
    if (!answer && answer.error().code == ErrorCode::disconnected) return;
    if (!answer) {
      const std::lock_guard lock(mutex_);
      refused_ = answer.error();
    } else if (const auto* welcome = body_of<control::WelcomeT>(answer->message)) {
      return on_welcome(*welcome);
    } else if (const auto* error = body_of<control::ErrorAnswerT>(answer->message)) {
      const std::lock_guard lock(mutex_);
      refused_ = control::to_error(*error);
    }
    changed_.notify_all();
  });
}

void Conductor::serve() {
  wait(connection_->fd(), forgotten_interval);
  if (connected()) {
    std::vector<Request> requests;
    {
      const std::lock_guard lock(mutex_);
      requests.swap(requests_);
    }
    detach_forgotten();  // first: who asks for a name that he has just let go of gets it
    for (Request& request : requests) send(std::move(request.message), std::move(request.on_answer));
  }
  while (connection_) {
    auto received = connection_->receive();
    if (!received || received->closed) return lose();
    if (!received->packet) {
      if (connection_->flush() != control::SendStatus::ok) lose();
      return;
    }
    auto message = control::decode(received->packet->bytes);
    if (!message) return lose();
    on_message({std::move(*message), std::move(received->packet->fds), core_});
  }
}

void Conductor::send(control::MessageT message, OnAnswer on_answer) {
  message.correlation = on_answer ? ++correlation_ : 0;
  const auto status = connection_ ? connection_->send(message) : control::SendStatus::closed;
  if (!on_answer) return;
  if (status == control::SendStatus::too_large) {
    return on_answer(fail(ErrorCode::too_large, "the request, " + std::string(EnumNameBody(message.body.type)) +
                                                    ", exceeds " + std::to_string(control::request_size_max) +
                                                    " bytes"));
  }
  pending_[message.correlation] = std::move(on_answer);  // a lost connection shows at the next receive()
}

void Conductor::on_message(Answer answer) {
  const auto it = pending_.find(answer.message.correlation);
  if (it != pending_.end()) {
    const OnAnswer on_answer = std::move(it->second);
    pending_.erase(it);
    return on_answer(std::move(answer));
  }
  if (const auto* error = body_of<control::ErrorAnswerT>(answer.message); error != nullptr && !connected()) {
    const std::lock_guard lock(mutex_);
    refused_ = control::to_error(*error);  // before it read our hello
    changed_.notify_all();
  }
  if (answer.message.body.type == control::Body::Stopping) {
    // It now drains and syncs what is committed: more would only wait for the next core. Everything else learns of its
    // end when it is gone.
    const std::lock_guard lock(mutex_);
    for (const PublisherSeat& seat : publishers_) {
      if (const auto link = seat.link.lock()) link->disconnect();
    }
  }
  if (const auto* stopped = body_of<control::PublisherStoppedT>(answer.message)) {
    const std::lock_guard lock(mutex_);
    for (const PublisherSeat& seat : publishers_) {
      if (seat.topic != stopped->topic || seat.name != stopped->publisher_name) continue;
      if (const auto link = seat.link.lock()) link->close({ErrorCode::sequence_error, stopped->reason});
    }
  }
}

void Conductor::on_welcome(const control::WelcomeT& welcome) {
  {
    const std::lock_guard lock(mutex_);
    refused_.reset();  // there was no seat before, or it was another core
    if (welcome.core_incarnation) core_ = control::from_wire<Incarnation>(*welcome.core_incarnation);
    topics_.clear();
    for (const auto& info : welcome.topics) {
      const schemas::EventType* type = registry_.find(info->type_name);
      if (type == nullptr) {
        const auto added = registry_.add_bfbs(info->type_name, EventTypeId{info->event_type},
                                              std::as_bytes(std::span(info->bfbs)), info->root, info->key_field);
        if (!added) {
          refused_ = Error{ErrorCode::unsupported, "topic '" + info->name + "': " + added.error().message};
          break;
        }
        type = *added;
      }
      const std::size_t payload = info->page_bytes - limits::page_header_size - frame_header_size;
      topics_.push_back({info->name, type, info->log_folder, payload, info->publishers});
    }
    if (!refused_) connected_ = true;
  }
  changed_.notify_all();
  if (connected()) attach_again();
}

// The core is gone, or it threw us out: everybody's calls answer `disconnected` until the next one is there.
void Conductor::lose() {
  connection_.reset();
  const bool was_connected = connected_.exchange(false);
  auto pending = std::move(pending_);
  pending_.clear();
  for (const auto& [correlation, on_answer] : pending) on_answer(fail(away()));
  if (!was_connected) return wait(-1, reconnect_interval);  // a core that turns us away is not asked at once again
  const std::lock_guard lock(mutex_);
  for (const PublisherSeat& seat : publishers_) {
    if (const auto link = seat.link.lock()) link->disconnect();
  }
  for (const SubscriberSeat& seat : subscribers_) {
    if (const auto link = seat.link.lock()) link->disconnect();
  }
}

void Conductor::attach_again() {
  std::vector<PublisherSeat> publishers;
  std::vector<SubscriberSeat> subscribers;
  {
    const std::lock_guard lock(mutex_);
    publishers = publishers_;
    subscribers = subscribers_;
  }
  for (const PublisherSeat& seat : publishers) {
    control::AttachPublisherT request;
    request.topic = seat.topic;
    request.publisher_name = seat.name;
    send(control::make_message(std::move(request)), [this, link = seat.link](Result<Answer> answer) {
      const auto publisher = link.lock();
      if (!publisher || !answer) return;
      if (const auto* error = body_of<control::ErrorAnswerT>(answer->message)) {
        return publisher->close(control::to_error(*error));
      }
      const auto* attached = body_of<control::PublisherAttachedT>(answer->message);
      if (attached != nullptr && attached->resumed) return publisher->resume();
      auto attachment = publisher_from(*answer);
      attachment ? publisher->replace(std::move(*attachment)) : publisher->close(attachment.error());
    });
  }
  for (const SubscriberSeat& seat : subscribers) {
    ++attaching_;
    send(attach_message(seat.topic, seat.request), [this, link = seat.link](const Result<Answer>& answer) {
      --attaching_;
      const auto subscriber = link.lock();
      if (!subscriber) return give_back({}, answer);
      if (!answer) return;
      if (const auto* error = body_of<control::ErrorAnswerT>(answer->message)) {
        return subscriber->close(control::to_error(*error));
      }
      auto attachment = subscriber_from(*answer);
      attachment ? subscriber->replace(std::move(*attachment)) : subscriber->close(attachment.error());
    });
  }
}

// Publishers and subscribers end by being destroyed; their names and leases are given back here.
void Conductor::detach_forgotten() {
  std::vector<control::MessageT> messages;
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(publishers_, [&](const PublisherSeat& seat) {
      if (!seat.link.expired()) return false;
      control::DetachPublisherT detach;
      detach.topic = seat.topic;
      detach.publisher_name = seat.name;
      messages.push_back(control::make_message(std::move(detach)));
      return true;
    });
    std::erase_if(subscribers_, [](const SubscriberSeat& seat) { return seat.link.expired(); });
    auto& given_back = *given_back_;
    const std::lock_guard given_back_lock(given_back.mutex);
    for (const GivenBack::Subscription& subscription : given_back.subscriptions) {
      if (subscription.core != core_) continue;  // died with it
      control::DetachSubscriberT detach;
      detach.subscription_id = subscription.id;
      messages.push_back(control::make_message(detach));
    }
    given_back.subscriptions.clear();
  }
  for (control::MessageT& message : messages) send(std::move(message), nullptr);
}

Result<std::shared_ptr<PublisherAttachment>> Conductor::publisher_from(Answer& answer) const {
  const auto* attached = body_of<control::PublisherAttachedT>(answer.message);
  if (attached == nullptr || answer.fds.size() < 3 || attached->stream >= limits::publishers_max) {
    return fail(ErrorCode::internal, "the core answered a publisher's request with something else");
  }
  auto ring_memory =
      map_all(answer.fds[0], attached->ring_offset, attached->ring_bytes, Access::read_write, "the ring");
  if (!ring_memory) return fail(ring_memory.error());
  auto marks = map_all(answer.fds[1], 0, sizeof(ring::Watermarks), Access::read_only, "the watermarks");
  if (!marks) return fail(marks.error());
  const auto ring = ring::Ring::attach(ring_memory->bytes());
  if (!ring) return fail(ring.error());
  const auto* words = reinterpret_cast<const ring::Watermarks*>(marks->data());
  std::vector<Mapping> memory;
  memory.push_back(std::move(*ring_memory));
  memory.push_back(std::move(*marks));
  return std::make_shared<PublisherAttachment>(PublisherAttachment{
      std::move(memory), *ring, words, attached->stream, PublisherId(attached->publisher_id), Epoch(attached->epoch),
      PageNumber(attached->first_page), Sequence(attached->last_sequence),
      static_cast<ring::StallPolicy>(attached->stall_policy), attached->log_folder, std::move(answer.fds[2])});
}

Result<std::shared_ptr<SubscriberAttachment>> Conductor::subscriber_from(const Answer& answer) const {
  const auto* attached = body_of<control::SubscriberAttachedT>(answer.message);
  if (attached == nullptr || answer.fds.size() < 4 || !attached->log_id ||
      attached->rings.size() > limits::publishers_max ||
      (attached->consumer && attached->consumer->slot >= limits::durable_consumers)) {
    return fail(ErrorCode::internal, "the core answered a subscriber's request with something else");
  }
  std::vector<Mapping> memory;
  std::vector<ring::Ring> rings;
  for (const auto& place : attached->rings) {
    auto mapping = map_all(answer.fds[0], place->offset, place->bytes, Access::read_only, "a ring");
    if (!mapping) return fail(mapping.error());
    const auto ring = ring::Ring::attach(mapping->bytes());
    if (!ring) return fail(ring.error());
    rings.push_back(*ring);
    memory.push_back(std::move(*mapping));
  }
  auto order_memory = map_all(answer.fds[1], 0, attached->order_bytes, Access::read_only, "the order ring");
  if (!order_memory) return fail(order_memory.error());
  const auto order = ring::OrderReader::attach(order_memory->bytes());
  if (!order) return fail(order.error());
  auto marks = map_all(answer.fds[2], 0, sizeof(ring::Watermarks), Access::read_only, "the watermarks");
  if (!marks) return fail(marks.error());
  auto page = map_all(answer.fds[3], 0, sizeof(ring::SubscriberPage), Access::read_write, "the subscriber's page");
  if (!page) return fail(page.error());
  const auto* words = reinterpret_cast<const ring::Watermarks*>(marks->data());
  auto* own = reinterpret_cast<ring::SubscriberPage*>(page->data());
  memory.push_back(std::move(*order_memory));
  memory.push_back(std::move(*marks));
  memory.push_back(std::move(*page));
  auto attachment = std::make_unique<SubscriberAttachment>(
      SubscriberAttachment{std::move(memory), std::move(rings), *order, words, own, attached->log_folder,
                           control::from_wire<LogId>(*attached->log_id), Run(attached->run)});
  if (attached->consumer) {
    const control::ConsumerHoldT& hold = *attached->consumer;
    attachment->consumer = ConsumerHold{
        &words->consumers[hold.slot], hold.generation, {attachment->log_id, Run(hold.run), Offset(hold.checkpoint)}};
  }
  const GivenBack::Subscription given{answer.core, attached->subscription_id};
  // Given back to the core when the subscriber has let go of it, not before: its leases pin what it reads.
  return std::shared_ptr<SubscriberAttachment>(attachment.release(),
                                               [given_back = given_back_, given](SubscriberAttachment* gone) {
                                                 delete gone;
                                                 {
                                                   const std::lock_guard lock(given_back->mutex);
                                                   given_back->subscriptions.push_back(given);
                                                 }
                                                 // Others wait for the name of a durable consumer.
                                                 (void)::eventfd_write(given_back->wake.get(), 1);
                                               });
}

}  // namespace millrace

"use client";

import { useEffect, useState } from "react";
import { parts } from "./parts";

// The shop's front page: every part asks its own route, all at once.
export default function Page() {
    const [answers, setAnswers] = useState<Record<string, unknown>>({});
    useEffect(() => {
        for (const part of parts)
            fetch(`/api/${part}`)
                .then((answer) => answer.json())
                .then((rows) => setAnswers((before) => ({ ...before, [part]: rows })));
    }, []);
    return parts.map((part) => (
        <section key={part}>
            <h2>{part}</h2>
            <pre>{JSON.stringify(answers[part], null, 1)}</pre>
        </section>
    ));
}
